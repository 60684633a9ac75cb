"""timm with bfloat16 autocast, gradient clipping and a cosine schedule with warm-up, all of it read off the loop."""

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

EPOCHS, WARM = 4, 10
model = timm.create_model("resnet10t", num_classes=10)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
scheduler = SequentialLR(
    optimizer,
    [LinearLR(optimizer, 0.1, total_iters=WARM), CosineAnnealingLR(optimizer, EPOCHS * len(loader) - WARM)],
    milestones=[WARM],
)
planned = foretoll.TrainingSettings(max_epochs=EPOCHS, clip_norm=1.0)
with foretoll.track(model, optimizer, target=loader, until=0.95, settings=planned) as run:
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
print(foretoll.log_model_card(run.record))
