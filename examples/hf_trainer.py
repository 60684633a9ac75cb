"""The Trainer of transformers: a tiny text classifier learns which of two kinds of sentence it reads."""

import random
import tempfile

import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification, Trainer, TrainingArguments

from foretoll import Accounting, TrainingSettings
from foretoll.integrations.transformers import ForetollCallback

random.seed(0)
torch.manual_seed(0)
WORDS = [
    "the", "film", "was", "book", "play", "actor", "scene", "plot", "music", "ending", "and", "very", "rather",
]  # fmt: skip
KINDS = ("dull slow poor weak tired", "warm fresh witty sharp lovely")
vocabulary = {word: i for i, word in enumerate(["[PAD]", *WORDS, *" ".join(KINDS).split()])}


def sentence() -> dict[str, torch.Tensor | int]:
    label = random.randrange(2)
    words = random.choices(WORDS, k=9) + random.choices(KINDS[label].split(), k=3)
    random.shuffle(words)
    ids = torch.tensor([vocabulary[word] for word in words])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": label}


train, held = [sentence() for _ in range(400)], [sentence() for _ in range(100)]
model = DistilBertForSequenceClassification(
    DistilBertConfig(vocab_size=len(vocabulary), dim=32, n_layers=2, n_heads=2, hidden_dim=64, num_labels=2)
)
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(
        model,
        TrainingArguments(
            folder,
            num_train_epochs=5,
            per_device_train_batch_size=20,
            learning_rate=2e-3,
            warmup_steps=10,
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=train,
        eval_dataset=held,
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
        callbacks=[
            ForetollCallback(until=0.95, settings=TrainingSettings(), accounting=Accounting(region="DE"))
        ],
    )
    trainer.train()
