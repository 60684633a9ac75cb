"""A plain loop: handwritten digits on which a scanner has drawn noise. One `with` line is all that foretoll needs."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import foretoll

torch.manual_seed(0)
pixels, digits = (torch.tensor(part) for part in load_digits(return_X_y=True))
images = pixels.float().div(16).view(-1, 1, 8, 8)
noisy = (images + 0.35 * torch.randn_like(images)).clamp(0, 1)
old = TensorDataset(images[:900], digits[:900])
train, test = TensorDataset(noisy[900:1500], digits[900:1500]), TensorDataset(noisy[1500:], digits[1500:])

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


for _ in range(5):  # the model as it was bought
    epoch(DataLoader(old, 32, shuffle=True))

loader = DataLoader(train, 32, shuffle=True)
with foretoll.track(model, optimizer, source=old, target=(loader, test), until=0.9) as run:
    for _ in range(10):
        epoch(loader)
        if run.evaluate(accuracy()):
            break
