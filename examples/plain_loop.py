# %% [markdown]
# # A plain training loop
#
# A scanner whose handwritten digits were read well begins to drift: every digit lies a pixel to the right, under
# some noise. The network needs an update: how long will that take, and is the target within reach? One `with`
# line around the loop that you have answers before the first step, and measures what the update really took.

# %%
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import foretoll

torch.manual_seed(0)
pixels, digits = (torch.tensor(part) for part in load_digits(return_X_y=True))
images = pixels.float().div(16).view(-1, 1, 8, 8)
moved = (torch.roll(images, 1, dims=3) + 0.2 * torch.randn_like(images)).clamp(0, 1)
old = TensorDataset(images[:900], digits[:900])
train, test = TensorDataset(moved[900:1500], digits[900:1500]), TensorDataset(moved[1500:], digits[1500:])

# %% [markdown]
# An ordinary network and an ordinary loop. Five epochs on the clean scans make the model as it was
# deployed.

# %%
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)


def epoch(loader: DataLoader[tuple[torch.Tensor, torch.Tensor]]) -> None:
    model.train()
    for inputs, labels in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()


@torch.no_grad()
def accuracy() -> float:
    model.eval()
    inputs, labels = test.tensors
    return (model(inputs).argmax(1) == labels).float().mean().item()


for _ in range(5):
    epoch(DataLoader(old, 32, shuffle=True))

# %% [markdown]
# ## The update, with a forecast before it
#
# `source` is what the model was trained on, `target` what it must serve now: what it trains on, and what it
# is tested on. The loop gives `run.evaluate` its accuracy and stops when that is 0.8; nothing else of it
# changes.

# %%
loader = DataLoader(train, 32, shuffle=True)
germany = foretoll.Accounting(region="DE")
with foretoll.track(
    model, optimizer, source=old, target=(loader, test), until=0.8, accounting=germany
) as run:
    for _ in range(20):
        epoch(loader)
        if run.evaluate(accuracy()):
            break

# %% [markdown]
# ## How to read it
#
# - **forecast** and **90 % interval** were printed before the first step, **measured** after the last: of
#   runs like this one, nine in ten should be measured inside the interval. An end that reads *≥ … (the
#   limit)* says that the budget of epochs may be spent before the target is reached.
# - **target reached** is a probability before, and what happened after. Validation is what the loop stops
#   by; the test data are those that it never saw.
# - **Why** names what in the data and the model speaks for this forecast, **Rests on** the measured runs
#   behind it.
# - Under each energy stands what it rests on: a counter, or a power model with how far off it may be.
#
# The run is in your ledger now (`foretoll ledger list`), and the next forecast of this model rests on it
# too.
