# %% [markdown]
# # Lightning
#
# A callback in Lightning's Trainer: a forecast before the first step, a measurement after the last, and the
# fit ends when the target is met. The data are 178 wines, to be told apart by their chemistry.

# %%
import torch
from lightning.pytorch import LightningModule, Trainer
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from foretoll import Accounting
from foretoll.integrations.lightning import ForetollCallback

torch.manual_seed(0)
measured, kinds = load_wine(return_X_y=True)
measured = (measured - measured.mean(0)) / measured.std(0)
parts = train_test_split(measured, kinds, test_size=0.3, random_state=0, stratify=kinds)
x, held_x, y, held_y = (torch.tensor(part) for part in parts)
train, held = TensorDataset(x.float(), y), TensorDataset(held_x.float(), held_y)

# %% [markdown]
# The module is as Lightning wants it. It logs `val_acc`, and that name is all that the callback has to
# know.


# %%
class Wines(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


# %% [markdown]
# ## Fit

# %%
loader = DataLoader(train, 16, shuffle=True)
callback = ForetollCallback(
    monitor="val_acc", target=(loader, held), until=0.97, accounting=Accounting(region="DE")
)
trainer = Trainer(
    max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, callbacks=[callback],
)  # fmt: skip
trainer.fit(Wines(), loader, DataLoader(held, 64))

# %% [markdown]
# ## How to read it
#
# The forecast is of a network that has never been trained, on 124 samples: its interval reaches from a part
# of an epoch to the limit, and **Warning** says why. It narrows as runs of yours come into the ledger.
# **Outcome** says whether validation and test agree, and whether they could be told apart at all with so
# few samples.
