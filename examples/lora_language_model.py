"""LoRA of a small causal language model: from Python's documentation to the licences of installed packages.

The model is a folder as transformers saves them: a configuration, a tokenizer, and weights. It reads documentation
first; then low-rank adapters teach it the language of licences, and are merged.
"""

import pydoc_data.topics
from importlib.metadata import files
from pathlib import Path
from tempfile import mkdtemp

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import foretoll
from foretoll.ledger import Ledger

folder = Path(mkdtemp(prefix="foretoll-language-"))
documentation = "\n".join(pydoc_data.topics.topics.values())[:80_000]
licences = [p.locate() for p in files("torch") or [] if p.name.startswith(("LICENSE", "NOTICE"))]
(folder / "documentation.txt").write_text(documentation)
(folder / "licences.txt").write_text(
    "\n".join(Path(p).read_text(errors="replace") for p in licences)[:60_000]
)

pieces = Tokenizer(models.BPE())
pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(
    vocab_size=512, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
)
pieces.train_from_iterator([documentation], trainer)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="<end>")
tokenizer.save_pretrained(folder / "untrained")
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=4, max_position_embeddings=128, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
)  # fmt: skip
LlamaForCausalLM(config).save_pretrained(folder / "untrained")

blocks = f"block=32&limit=500&tokenizer={folder / 'untrained'}"
old = foretoll.open_data(f"text:{folder}/documentation.txt?{blocks}")
new = foretoll.open_data(f"text:{folder}/licences.txt?{blocks}")
plan = foretoll.TrainingSettings(metric="perplexity", max_epochs=4, batch_size=32, lr=3e-3)
beside = Ledger(folder / "ledger.db")  # of the source model: the run that counts here is the next one
foretoll.train(f"hf:{folder / 'untrained'}", old, out=folder / "model", settings=plan, ledger=beside)
model = foretoll.load_model(folder / "model", data=old)

until = 40.0
forecast = foretoll.estimate(model, old, new, option="lora", until=until, settings=plan, samples=400)
run = foretoll.retrain(model, old, new, option="lora", until=until, settings=plan)
epochs, quality = forecast.forecast.epochs, forecast.expected_quality
assert epochs is not None and quality is not None and run.quality is not None
print(f"target     perplexity {until:g} on licences, for a model of documentation")
print(
    f"forecast   {epochs.median:.1f} epochs ({epochs.low:.1f} to {epochs.high:.1f}), perplexity {quality.median:.0f} "
    f"({quality.low:.0f} to {quality.high:.0f})"
)
print(
    f"measured   {run.toll.epochs:.1f} epochs, {run.outcome.value}: perplexity {run.quality.after:.0f} on test texts"
)
