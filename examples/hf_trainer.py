# %% [markdown]
# # The Trainer of transformers
#
# One callback among the Trainer's own measures a training that you have already. Here a tiny DistilBERT
# learns which of two kinds of sentence it reads; the sentences are made up, so that nothing has to be
# fetched.

# %%
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

# %% [markdown]
# ## The callback
#
# It ends the training when the accuracy that the Trainer computes reaches 0.95 (`stops=False` lets it go
# on). Planned epochs, batch size and schedule are read off `TrainingArguments`. No `source` and no `target`
# are named here, so that nothing is forecast: the run is measured and recorded.

# %%
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

# %% [markdown]
# ## How to read it
#
# First come the lines of the Trainer, one for each evaluation, then what foretoll measured. **epochs**
# counts to the evaluation that met the target. **Settings** is the recipe as it was really used, among it
# what the Trainer sets by itself: a linear schedule, gradients clipped at 1.0. With `target=(loader, held)`
# a forecast is printed before the first step, and stands beside the measurement.
