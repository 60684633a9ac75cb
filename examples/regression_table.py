# %% [markdown]
# # Regression on a table
#
# How diabetes goes on within a year, from ten measurements of a patient. A network that was trained on
# patients under 50 must serve those above. The target is an error in the unit of the table: a root mean
# squared error of 57 or *less*.

# %%
import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import foretoll

torch.manual_seed(0)
measured, progression = (torch.tensor(part).float() for part in load_diabetes(return_X_y=True, scaled=False))
older = measured[:, 0] >= 50
measured = (measured - measured[~older].mean(0)) / measured[~older].std(0)
old = TensorDataset(measured[~older], progression[~older])
x, y = measured[older], progression[older]
train, held = TensorDataset(x[:160], y[:160]), TensorDataset(x[160:], y[160:])

# %% [markdown]
# The network gives a number in the unit of the table. Twenty epochs make it as it serves the younger
# patients.


# %%
class Progression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 150 + 50 * self.net(inputs)


model = Progression()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)


def epoch(loader: DataLoader[tuple[torch.Tensor, torch.Tensor]]) -> None:
    model.train()
    for inputs, numbers in loader:
        optimizer.zero_grad()
        F.mse_loss(model(inputs)[:, 0], numbers).backward()
        optimizer.step()


@torch.no_grad()
def rmse() -> float:
    model.eval()
    return F.mse_loss(model(held.tensors[0])[:, 0], held.tensors[1]).sqrt().item()


for _ in range(20):
    epoch(DataLoader(old, 32, shuffle=True))

# %% [markdown]
# ## The update
#
# Two things are said: the metric, and the target in its unit. That less is better follows from the metric.

# %%
loader = DataLoader(train, 16, shuffle=True)
settings = foretoll.TrainingSettings(metric="rmse", max_epochs=20)
germany = foretoll.Accounting(region="DE")
with foretoll.track(
    model, optimizer, source=old, target=(loader, held), until=57, settings=settings, accounting=germany
) as run:
    for _ in range(20):
        epoch(loader)
        if run.evaluate(rmse()):
            break

# %% [markdown]
# ## How to read it
#
# **Why** says how near a *linear* model on the frozen features comes to the target: that alone says much
# of what training will take. **Expected** is the error on data that nobody has seen, with its interval.
# Indices that need classes take five equal parts of the target for them, which a **Warning** says.
