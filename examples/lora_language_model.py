# %% [markdown]
# # LoRA for a language model
#
# A small causal language model read Python's documentation; low-rank adapters (LoRA) teach it the language
# of licences, and are merged into it. The model is a folder as transformers saves them: a configuration, a
# tokenizer, and weights. Both texts are on your disk already: what `help()` prints, and the licence files
# that torch was installed with.

# %%
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

# %% [markdown]
# ## A model to begin with
#
# A tokenizer of 512 pieces and a Llama of two layers, untrained. With a model of yours, its folder takes
# their place.

# %%
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

# %% [markdown]
# ## Read the documentation
#
# `text:` opens a file as blocks of tokens. The ledger beside it keeps this run apart from yours: what
# counts here is the next one.

# %%
blocks = f"block=32&limit=500&tokenizer={folder / 'untrained'}"
old = foretoll.open_data(f"text:{folder}/documentation.txt?{blocks}")
new = foretoll.open_data(f"text:{folder}/licences.txt?{blocks}")
plan = foretoll.TrainingSettings(metric="perplexity", max_epochs=4, batch_size=32, lr=3e-3)
beside = Ledger(folder / "ledger.db")
foretoll.train(f"hf:{folder / 'untrained'}", old, out=folder / "model", settings=plan, ledger=beside)
model = foretoll.load_model(folder / "model", data=old)

# %% [markdown]
# ## What will LoRA cost, and what did it?
#
# The target is a perplexity of 40 or less on the licences.

# %%
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

# %% [markdown]
# ## How to read it
#
# Few runs of language models are in the ledger that ships, and the interval says so: it reaches over the
# whole budget. In brackets stand the ends of the 90 % intervals. The median forecast of the epochs may lie
# at the limit and the run still end after one, as long as it ends inside the interval; your own runs are
# what makes it narrower. A large model is sized without loading it: `foretoll size hf:PATH --option lora`.
