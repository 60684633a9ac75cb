# %% [markdown]
# # Several labels for each sample
#
# Not one class, but any number of facts about a handwritten digit: is it even, has it a loop, is it above
# four, is it prime? A network that knew clean scans must now read dark ones. foretoll forecasts the update,
# then carries it out by itself.

# %%
import numpy as np
import rich
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import foretoll
from foretoll.report import estimate_table

torch.manual_seed(0)
pixels, digits = load_digits(return_X_y=True)
images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
facts = {
    "even": (0, 2, 4, 6, 8),
    "has a loop": (0, 6, 8, 9),
    "above four": (5, 6, 7, 8, 9),
    "prime": (2, 3, 5, 7),
}
labels = np.stack([np.isin(digits, those) for those in facts.values()], axis=1).astype(np.int64)
noise = np.random.default_rng(0).normal(0, 0.08, images.shape)
dark = np.clip(0.4 * images + noise, 0, 1).astype(np.float32)

# %% [markdown]
# The model as it was deployed: four outputs, one for each fact.

# %%
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 4)
)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
inputs, targets = torch.tensor(images[:900]), torch.tensor(labels[:900]).float()
for _ in range(10):
    for part in torch.randperm(900).split(32):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(inputs[part]), targets[part]).backward()
        optimizer.step()

# %% [markdown]
# ## Forecast, then carry out
#
# That labels of shape (samples, 4) mean several labels a sample is seen from the data. A `Session` keeps
# what is said once: the metric (micro F1), the target, the budget, the region.

# %%
session = foretoll.Session(
    settings=foretoll.TrainingSettings(metric="micro_f1", until=0.86, max_epochs=20, batch_size=32, lr=3e-3),
    accounting=foretoll.Accounting(region="DE"),
)
old = foretoll.open_data((images[:900], labels[:900]))
new = foretoll.open_data((dark[900:], labels[900:]))
forecast = session.estimate(model, old, new)
run = session.retrain(model, old, new)
rich.print(estimate_table(forecast, run))

# %% [markdown]
# ## How to read it
#
# The update stops by its *validation* quality; **Outcome** says what the *test* data say beside it, and how
# large the difference may be by chance alone with so few samples. The probability *on unseen data* in the
# second line is the forecast of just that: it is lower than that of stopping, since a run stops at a lucky
# evaluation sooner than at an unlucky one.
