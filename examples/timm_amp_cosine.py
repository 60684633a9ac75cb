# %% [markdown]
# # timm, mixed precision and a cosine schedule
#
# A recipe as it is used in earnest: a ResNet of timm, bfloat16 by autocast, gradients clipped, AdamW with
# warm-up and a cosine schedule. foretoll reads precision, schedule, batch size and the optimiser's settings
# off the loop; only what cannot be seen from there is said: the number of epochs that are planned, and the
# clipping.

# %%
import timm
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.utils.data import DataLoader, TensorDataset

import foretoll

torch.manual_seed(0)
pixels, digits = (torch.tensor(part) for part in load_digits(return_X_y=True))
images = F.interpolate(pixels.float().div(16).view(-1, 1, 8, 8), size=32).expand(-1, 3, -1, -1)
train, test = TensorDataset(images[:640], digits[:640]), (images[1500:], digits[1500:])
loader = DataLoader(train, 32, shuffle=True)

# %%
EPOCHS, WARM = 4, 10
model = timm.create_model("resnet10t", num_classes=10)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
scheduler = SequentialLR(
    optimizer,
    [LinearLR(optimizer, 0.1, total_iters=WARM), CosineAnnealingLR(optimizer, EPOCHS * len(loader) - WARM)],
    milestones=[WARM],
)

# %% [markdown]
# ## Train, with a forecast before and a measurement after
#
# There is no `source`: the network is new. The forecast is made without one, is wider for it, and says so.

# %%
planned = foretoll.TrainingSettings(max_epochs=EPOCHS, clip_norm=1.0)
germany = foretoll.Accounting(region="DE")
with foretoll.track(model, optimizer, target=loader, until=0.95, settings=planned, accounting=germany) as run:
    for _ in range(EPOCHS):
        model.train()
        for inputs, labels in loader:
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            run.evaluate((model(test[0]).argmax(1) == test[1]).float().mean())

# %% [markdown]
# ## How to read it
#
# **target reached** says how likely 0.95 is within the four planned epochs. Where that is unlikely the
# costs read *≥ …*: the whole budget will probably be spent. **Warning** lines say what makes this forecast
# wide; `--calibrate`, or runs of your own in the ledger, make it firmer.
#
# ## A paragraph for the model card
#
# What the training took, as model hubs read it; given a folder, `log_model_card` puts it into the folder's
# README.md.

# %%
print(foretoll.log_model_card(run.record))
