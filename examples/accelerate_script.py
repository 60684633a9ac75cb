# %% [markdown]
# # accelerate
#
# accelerate hands what a script logs to *trackers*; foretoll is one. Whatever is logged as `accuracy`
# becomes the curve of the run, and gradient accumulation counts as it should: two batches make one step.
# The data are tumours, to be told apart by the shape of their cells.

# %%
import torch
from accelerate import Accelerator
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from foretoll import Accounting
from foretoll.integrations.accelerate import ForetollTracker

torch.manual_seed(0)
cells, kinds = load_breast_cancer(return_X_y=True)
cells = torch.tensor((cells - cells.mean(0)) / cells.std(0)).float()
mixed = torch.randperm(len(cells))
cells, kinds = cells[mixed], torch.tensor(kinds)[mixed]
train, held = TensorDataset(cells[:400], kinds[:400]), (cells[400:], kinds[400:])

# %% [markdown]
# ## The tracker, and an ordinary script
#
# The tracker is made before `prepare`, with the model and the optimiser. `tracker.run.stop` is true when
# the target is met: whether to stop is yours.

# %%
model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
tracker = ForetollTracker(
    model, optimizer, target=DataLoader(train, 16), until=0.95, accounting=Accounting(region="DE")
)
accelerator = Accelerator(cpu=True, log_with=tracker, gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(train, 16, shuffle=True))
accelerator.init_trackers("tumours")
for epoch in range(5):
    model.train()
    for inputs, labels in loader:
        with accelerator.accumulate(model):
            accelerator.backward(F.cross_entropy(model(inputs), labels))
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        accelerator.log({"accuracy": float((model(held[0]).argmax(1) == held[1]).float().mean())}, step=epoch)
    if tracker.run.stop:
        break
accelerator.end_training()

# %% [markdown]
# ## How to read it
#
# The forecast is printed when the trackers begin, the measurement by `end_training`. **Self-cost** is
# honest: for a network that learns within milliseconds, asking takes longer than training. A forecast is
# worth its cost where an update takes minutes or more, or is made again and again.
