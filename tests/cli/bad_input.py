"""Every case of bad input with its exact message: the table of docs/bad_input.md, and what the test drives.

python tests/cli/bad_input.py      writes the page anew
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bad_input.md"
UPDATE = "--model m --source npz:old.npz --target npz:new.npz"
TRAIN = "--arch foretoll:mlp --data npz:old.npz"
QUIETLY = "--energy none --region DE --quiet"


@dataclass(frozen=True)
class Case:
    """One mistake. `FOLDER` stands for the current folder in the message, `RUN` for the id of a run.

    `under` is what the machine does at that time: nothing special, "read-only" (the folder `locked`), "full disk"
    (no room for a report), or "small disk" (room for the ledger, none for the model).
    """

    what: str
    command: str
    message: str
    code: int = 1
    under: str = ""

    @property
    def words(self) -> str:
        """The whole command line behind the `…`."""
        rest = TRAIN if self.command.startswith("train") else UPDATE
        return self.command.replace("…", f"{rest} {QUIETLY}")


def usage(what: str, command: str, message: str) -> Case:
    return Case(what, command, message, code=2)


DATA = (
    Case("a missing file", "estimate … --target npz:gone.npz", "gone.npz is no file: give the path of an .npz file"),
    Case("a truncated file", "estimate … --target npz:cut.npz",
         "cut.npz cannot be read as .npz: it is truncated or of another format; make or copy it again"),
    Case("a file of another format", "retrain … --target npz:text.npz",
         "text.npz cannot be read as .npz: it is truncated or of another format; make or copy it again"),
    Case("a single array", "train … --data npz:array.npy",
         "array.npy is a single array, not an .npz file: save it with np.savez(x=…, y=…)"),
    Case("pickled objects in it", "train … --data npz:objects.npz",
         "objects.npz: x holds pickled Python objects, which are never unpickled: save plain arrays"),
    Case("wrong keys", "train … --data npz:keys.npz",
         "keys.npz has images, labels: it needs x_train, y_train, x_test, y_test, or x, y"),
    Case("labels for one part only", "estimate … --target npz:half.npz",
         "half.npz has y_train but no y_test: label all splits or none"),
    Case("another number of labels than of samples", "estimate … --target npz:short.npz",
         "short.npz: x has 300 samples and y 299 labels: they must be equally many"),
    Case("NaN or infinite values", "retrain … --target npz:nan.npz",
         "nan.npz: x has 6 NaN or infinite values, the first in row 21: remove or fill them before"),
    Case("NaN labels", "train … --data npz:nanlabel.npz",
         "nanlabel.npz: y has 1 NaN labels: labels are class numbers; store them as integers from 0, or say "
         "task=regression"),
    Case("labels of another type", "train … --data npz:floats.npz",
         "floats.npz: y has labels of type float64: labels are class numbers; store them as integers from 0, or say "
         "task=regression"),
    Case("a negative label", "train … --data npz:negative.npz",
         "negative.npz: y has the negative label -1 in row 21: labels run from 0"),
    Case("a label out of range", "train … --data npz:range.npz",
         "range.npz: y has the label 3 in row 21, out of range: labels run from 0 to 2"),
    Case("one-hot labels", "train … --data npz:onehot.npz",
         "onehot.npz: y has shape (300, 3): labels are one class number a sample, not one-hot; of several labels a "
         "sample say task=multilabel"),
    Case("texts for numbers", "estimate … --target npz:texts.npz",
         "texts.npz: x has values of type <U1: samples are numbers"),
    Case("no samples", "estimate … --target npz:none.npz",
         "none.npz: x has shape (0, 6): vectors need (samples, features), at least one of each"),
    Case("a single class", "train … --data npz:single.npz",
         "data 'npz:single.npz': the train split has the single class '0': it needs samples of another class"),
    Case("too few samples for three splits", "estimate … --target npz:new.npz?limit=4",
         "data 'npz:new.npz?limit=4': the validation split has the single class '0': it needs a larger limit"),
    Case("images with five channels", "train … --data npz:channels.npz",
         "channels.npz: x has shape (300, 8, 8, 5): images need (n, H, W), (n, H, W, C) with C = 1, 3 or 4 "
         "(transparency), or (n, C, H, W) with C = 1 or 3"),
    Case("a missing Parquet file", "train … --data parquet:gone.parquet",
         "gone.parquet is no file: give the path of a .parquet file"),
    Case("a truncated Parquet file", "train … --data parquet:cut.parquet",
         "cut.parquet cannot be read as Parquet: it is truncated or of another format; make or copy it again"),
    Case("a missing folder", "train … --data folder:gone",
         "gone is no folder: give a folder with one sub-folder of images for each class"),
    Case("a folder without images", "train … --data folder:empty",
         "empty has no images in sub-folders: it needs PATH/CLASS/IMAGE or PATH/train/CLASS/IMAGE"),
    Case("an image that is none", "train … --data folder:photos",
         "photos/ant/03.png is no readable image: replace it, or leave such ones out by skip_unreadable=true"),
    Case("a data set of torchvision that is not there", "train … --data torchvision:MNIST?root=empty",
         "torchvision:MNIST is not in empty: Dataset not found; give its folder as root, or add download=1"),
    Case("no labels to retrain on", "retrain … --target npz:bare.npz",
         "npz:bare.npz has no labels: finetune needs them; only foretoll estimate works without"),
    Case("no labels to train on", "train … --data npz:bare.npz",
         "bare has no labels, which training needs: give them (of a table by label=COLUMN), or a file that holds them"),
    usage("a source without labels, and no quality target", "estimate … --source npz:bare.npz --same-task",
          "without labelled data of the source there is no usual quality target: name one (--until 0.9), or give "
          "labels (of a table by label=)"),
)  # fmt: skip

URIS = (
    usage("a path for a URI", "estimate … --target new.npz",
          "'new.npz' is a path and not a data URI: write npz:new.npz"),
    usage("an unknown scheme", "estimate … --target npy:new.npz",
          "data URI 'npy:new.npz': unknown scheme 'npy': did you mean 'npz'? (valid: csv, digits, folder, hf, "
          "masks, npz, parquet, tar, text, torchvision)"),
    usage("an unknown key", "estimate … --target npz:new.npz?limt=100",
          "data URI 'npz:new.npz?limt=100': unknown key 'limt': did you mean 'limit' or 'split' or 'time'? (valid: "
          "classes, every, inputs, kind, label, limit, part, rows, seed, shift, split, task, time, where)"),
    usage("a limit without end", "estimate … --target npz:new.npz?limit=9999999999999",
          "data URI 'npz:new.npz?limit=9999999999999': limit=9999999999999 is not a whole number of at least 2 and at "
          "most 1,000,000,000,000"),
    usage("images of a size that fits nowhere", "train … --data folder:photos?size=100000",
          "data URI 'folder:photos?size=100000': size=100000 must be PIXELS or HEIGHTxWIDTH, 16,777,216 "
          "pixels at most"),
    usage("an unknown shift", "estimate … --target npz:new.npz?shift=gausian_noise:0.3",
          "data URI 'npz:new.npz?shift=gausian_noise:0.3': unknown shift 'gausian_noise': did you mean "
          "'gaussian_noise' or 'gaussian_noise_released' or 'gaussian_blur'?"),
    usage("a shift without its level", "estimate … --target npz:new.npz?shift=contrast",
          "data URI 'npz:new.npz?shift=contrast': shift=contrast needs a level: write shift=contrast:LEVEL (factor on "
          "the distance from the mean; usual 0.6, 0.4, 0.25, 0.12)"),
    usage("a level out of range", "estimate … --target npz:new.npz?shift=contrast:-3",
          "data URI 'npz:new.npz?shift=contrast:-3': level -3 of shift contrast is outside 0 … 10 (factor on the "
          "distance from the mean)"),
    usage("a shift for other data", "estimate … --target npz:new.npz?shift=rotation:10",
          "shift rotation is for image data and these are vector data: use gaussian_noise, salt_and_pepper, "
          "impulse_noise, contrast, brightness, occlusion, inversion"),
    usage("an unknown column", "estimate … --target npz:new.npz?where=month:1",
          "unknown column of new 'month': valid are label"),
    usage("an unknown class", "estimate … --target npz:new.npz?classes=0,7",
          "unknown class of new '7': valid are 0, 1, 2"),
    usage("an unknown data set of torchvision", "train … --data torchvision:MINST?root=.",
          "unknown torchvision data set 'MINST': did you mean 'MNIST' or 'QMNIST' or 'KMNIST'?"),
    usage("no folder for it", "train … --data torchvision:MNIST",
          "torchvision:MNIST needs root: write torchvision:MNIST?root=FOLDER"),
)  # fmt: skip

FIT = (
    Case("other columns than the model's", "estimate … --target npz:wide.npz",
         "the model takes vector samples of shape (6,), but npz:wide.npz holds samples of shape (12,); bring them to "
         "the same columns, channels and length"),
    Case("other channels than the model's", "estimate … --model hearer --source npz:series.npz --target npz:stereo.npz",
         "the model takes series samples of shape (1, 20), but npz:stereo.npz holds samples of shape (2, 20); bring "
         "them to the same columns, channels and length"),
    Case("another kind of data", "retrain … --target npz:pictures.npz",
         "the model takes vector samples, but npz:pictures.npz holds image samples of shape (1, 8, 8); use data of "
         "the kind that the model was made for"),
    Case("an architecture for other data", "train … --arch foretoll:cnn",
         "foretoll:cnn cannot take samples of shape (6,); architectures that can: foretoll:mlp"),
    Case("more classes, and no new task", "retrain … --target npz:five.npz --same-task",
         "the target 'npz:five.npz' has 2 classes: '3' (60 of 300 samples), '4' (60 of 300 samples), which the model "
         "has no output for ('0', '1', '2'): choose the others with classes=, or say --task if it is a new task"),
    usage("names on one side and numbers on the other", "estimate … --target npz:others.npz --until 0.9",
          "'npz:others.npz' has the classes 'ant', 'bee', 'cat', and the source '0', '1', '2': names and numbers do "
          "not decide it; say --same-task if they are the same in their order, or --task if not"),
    usage("a new task without a quality to reach", "estimate … --target npz:others.npz --task",
          "a new task has no natural quality target: name one, for example --until 0.9"),
    usage("a part of the classes, by number", "estimate … --target npz:two.npz",
          "'npz:two.npz' has 2 of the source's 3 classes by their numbers: say --same-task if a number means the same "
          "class on both sides, or --task if it does not"),
    Case("a source that the model was not trained on", "estimate … --source npz:five.npz",
         "the source npz:five.npz has 5 classes but the model 3 outputs: give the data that the model was trained on"),
    Case("weights for another number of classes",
         "estimate … --model foretoll:mlp?width=16 --weights w.safetensors --source npz:five.npz",
         "all weights in w.safetensors fit except the head 'head': the model has 3 classes and the data have 5; give "
         "it a new head with the option new_head=true, or use the data that it was trained on"),
    Case("constant activations", "estimate … --target npz:same.npz",
         "the model represents all 180 samples of npz:same.npz alike: check the data and the weights, or name another "
         "layer with --embedding-layer"),
    Case("NaN or infinite activations", "retrain … --model hot",
         "the model's activations are NaN or infinite (first in batch 0 of 1): check its weights and the input's "
         "normalisation"),
)  # fmt: skip

MODELS = (
    usage("a model that is not there", "estimate … --model gone",
          "the model 'gone' is neither a checkpoint folder nor an architecture: give a folder, foretoll:NAME, "
          "torchvision:NAME, timm:NAME, hf:PATH or package.module:function"),
    Case("a folder that is not there", "estimate … --model ./mm",
         "there is no checkpoint folder at mm; nearest in .: m"),
    Case("a folder that is no checkpoint", "estimate … --model empty",
         "empty is no foretoll checkpoint, model.json and model.safetensors are missing; name a folder that foretoll "
         "wrote"),
    Case("half a checkpoint", "retrain … --model half",
         "half is no foretoll checkpoint, model.json is missing; name a folder that foretoll wrote"),
    Case("a truncated checkpoint", "retrain … --model torn",
         "'torn/model.safetensors' cannot be read as safetensors (REASON): it is truncated or of another format; copy "
         "it again"),
    usage("a weights file for a model", "estimate … --model w.safetensors",
          "w.safetensors is a weights file: name its architecture as the model (--arch) and give the file as "
          "--weights"),
    usage("an unknown architecture", "train … --arch foretoll:mpl",
          "unknown foretoll architecture 'mpl': did you mean 'mlp'? (valid: cnn, cnn1d, gpt, mlp, resnet, unet, vit)"),
    usage("an unknown architecture of a library", "estimate … --model torchvision:resnet19",
          "unknown torchvision model 'resnet19': did you mean 'resnet18' or 'resnet152' or 'resnet101'?"),
    usage("an architecture without its library", "estimate … --model mlp",
          "the model 'mlp' is neither a checkpoint folder nor an architecture: did you mean foretoll:mlp? give a "
          "folder, foretoll:NAME, torchvision:NAME, timm:NAME, hf:PATH or package.module:function"),
    usage("an unknown option of an architecture", "train … --arch foretoll:mlp?widht=16",
          "unknown option of foretoll:mlp 'widht': did you mean 'width'? (valid: depth, width)"),
    Case("missing weights", "estimate … --model foretoll:mlp?width=16 --weights v.safetensors",
         "there is no weights file at v.safetensors; nearest in .: w.safetensors, nan.safetensors, cut.safetensors"),
    Case("truncated weights", "estimate … --model foretoll:mlp?width=16 --weights cut.safetensors",
         "'cut.safetensors' cannot be read as safetensors (REASON): it is truncated or of another format; copy "
         "it again"),
    Case("truncated weights of torch", "estimate … --model foretoll:mlp?width=16 --weights cut.pt",
         "cut.pt is truncated or no torch file: copy or save it again"),
    Case("a pickle", "estimate … --model foretoll:mlp?width=16 --weights model.pt",
         "model.pt holds a pickled object, and foretoll never unpickles, since that can run any code: where it was "
         "made, save the weights alone with torch.save(model.state_dict(), 'weights.pt'), and name the architecture "
         "with --arch"),
    Case("a file that holds no weights", "estimate … --model foretoll:mlp?width=16 --weights w.bmp",
         "w.bmp has a suffix that weights do not have; valid are .safetensors, .pt, .pth, .bin, .ckpt, .tar"),
    Case("a state dict of another network", "estimate … --model foretoll:mlp?width=16 --weights other.safetensors",
         "the weights in other.safetensors do not fit the architecture: 6 missing (body.1.weight, body.1.bias, "
         "…); 6 unexpected (encoder_body.1.bias, …); name the one that they were saved from"),
    Case("a state dict of another size", "estimate … --model foretoll:mlp?width=8 --weights w.safetensors",
         "the weights in w.safetensors do not fit the architecture: 5 of another shape (body.1.weight: file (16, 6), "
         "model (8, 6), body.1.bias: file (16,), model (8,), …); name the one that they were saved from"),
    Case("weights that are NaN", "estimate … --model foretoll:mlp?width=16 --weights nan.safetensors",
         "nan.safetensors holds NaN or infinite weights in 6 tensors (body.1.bias, body.1.weight, body.3.bias, "
         "body.3.weight, …); use weights from before they diverged"),
    Case("weights in a compressed archive", "estimate … --model foretoll:mlp?width=16 --weights packed.pt",
         "packed.pt is a compressed or encrypted archive, which torch.save never writes; save the weights again"),
    usage("a network larger than any memory", "estimate … --model foretoll:mlp?width=99999999",
          "foretoll:mlp needs a whole number from 1 to 100,000 for width, got '99999999'"),
    Case("a checkpoint whose card lies about its size", "estimate … --model swollen",
         "the model card in 'swollen' describes a network that is far larger than its weights (0.0 MB); save the model "
         "again"),
    Case("no layer that looks like an embedding", "estimate … --model yardmodels:headless",
         "no layer looks like the head of 3 classes, so none looks like an embedding; name one with --head NAME (and "
         "--embedding-layer NAME; head= and embedding_layer= in Python); called last were: no Linear or Conv module"),
    Case("a network that loses its batch axis for one sample", "estimate … --model yardmodels:squeezed",
         "the network returns shape (3,) for a batch of one, not (1, 3): likely the batch axis is "
         "lost by squeeze() without an axis; write squeeze(dim) or flatten(1)"),
    usage("an unknown embedding layer", "estimate … --embedding-layer body.9",
          "unknown embedding layer (a module of the model) 'body.9': did you mean 'body.4' or 'body.3' or 'body.2'? "
          "(valid: body, body.0, body.1, body.2, body.3, body.4, head)"),
    usage("an unknown head", "estimate … --head haed",
          "unknown head (a module of the model) 'haed': did you mean 'head'? (valid: body, body.0, body.1, body.2, "
          "body.3, body.4, head)"),
    Case("a network that ends in a softmax", "estimate … --model yardmodels:softmax",
         "the network ends in a softmax; give foretoll one that returns logits, without it"),
    Case("a network that does not classify", "estimate … --model yardmodels:maps",
         "the network returns shape (2, 3, 6) for a batch of 2, not (batch, classes); foretoll takes classifiers with "
         "one output per class"),
    Case("a factory that fails", "estimate … --model yardmodels:broken",
         "'yardmodels:broken' cannot be built: ValueError: no such flavour; check its options and input size"),
    usage("an unknown factory", "estimate … --model yardmodels:fien",
          "unknown function of yardmodels 'fien': did you mean 'fine'?"),
    usage("an unknown module", "estimate … --model nosuchmodule:build",
          "the model 'nosuchmodule:build' names the module 'nosuchmodule', which cannot be found from the current "
          "folder: check the name"),
    usage("a function that builds no network", "estimate … --model os:system",
          "'os:system' is of Python's standard library, which builds no network: name a function or class that returns "
          "a torch.nn.Module"),
    usage("a function of torch", "estimate … --model torch:zeros",
          "'torch:zeros' is a built-in function, which builds no network: name a function or class that returns a "
          "torch.nn.Module"),
    Case("a checkpoint that names code to run", "estimate … --model stranger",
         "the model card in 'stranger' names code to run, 'os:system', and no file may do that: if you know this code, "
         "name it yourself (--model FACTORY --weights FOLDER) or pass --trust-code (Python: trust_code=True)"),
    Case("a study file that names code to run", "study run stranger.toml --plan",
         "model 'm' of the study 'stranger' names code to run, 'os:system', and no file may do that: if you know this "
         "code, pass --trust-code (Python: trust_code=True)"),
)  # fmt: skip

COMPARE = (
    usage("an unknown option among several", "compare … --option keep --option lorra",
          "unknown option 'lorra': did you mean 'lora'? (valid: OPTIONS)"),
    usage("a budget without a unit", "compare … --budget 50",
          "--budget '50' is no budget: give an energy (0.1kWh), a time (20min) or emissions (50g)"),
    usage("a budget in another unit", "compare … --budget 5bananas",
          "--budget '5bananas' is no budget: give an energy (0.1kWh), a time (20min) or emissions (50g)"),
    usage("money without its price", "compare … --budget 5EUR",
          "--budget '5EUR' is no budget: give an energy (0.1kWh), a time (20min) or emissions (50g), or money with its "
          "price (--price 0.30EUR/kWh)"),
    usage("money in another currency than its price", "compare … --budget 5USD --price 0.30EUR/kWh",
          "--budget '5USD' is no budget: give an energy (0.1kWh), a time (20min) or emissions (50g), or money as "
          "--price has it (5EUR)"),
    usage("a price that is none", "estimate … --price cheap",
          "--price 'cheap' is no price: write 2.5/h, 0.30/kWh or 0.30EUR/kWh"),
    usage("a unit for a currency", "estimate … --price 5g/kWh",
          "--price '5g/kWh' names 'g' as its currency, which is a unit: write 2.5/h, 0.30/kWh or 0.30EUR/kWh"),
    usage("two currencies", "plan … --price 0.30EUR/kWh,2USD/h --floor 0.8",
          "--price names two currencies ('EUR' and 'USD'): give all prices in one"),
    usage("an hour's price for a page of energy", "ledger page --price 2.5/h",
          "--price '2.5/h' is no price for energy: write 0.30/kWh or 0.30EUR/kWh"),
    usage("unknown hardware", "estimate … --hardware A101,L4",
          "unknown hardware 'A101': did you mean 'A10' or 'A100' or 'A40'?"),
    usage("too many devices", "compare … --hardware 9999xA100",
          "--hardware '9999xA100' is of 9999 devices: give 1 to 1,024"),
    usage("more devices than a batch has samples", "estimate … --hardware 64xA100 --batch-size 32",
          "--hardware 64 × A100 cannot share out a batch of 32: name at most so many devices, or a larger "
          "--batch-size"),
    usage("a hardware file that is not there", "estimate … --hardware gone.json",
          "the hardware file 'gone.json' cannot be read (No such file or directory): write one with foretoll hardware "
          "measure --out FILE, or name a device (foretoll hardware list)"),
    usage("a hardware file that is none", "estimate … --hardware schema.json",
          "'schema.json' is no file of foretoll hardware measure (schema: Input should be 'foretoll.hardware/1'): "
          "write it anew with foretoll hardware measure --out FILE"),
    usage("to measure here what is forecast for elsewhere", "compare … --hardware A100 --measure",
          "--measure is about this machine and --hardware about others: leave one of them out"),
    usage("a name that no table can hold", f"hardware measure --name {'x' * 70}",
          "--name 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' is no name: give at most 60 printable characters"),
    usage("a size of samples that nobody knows", "size foretoll:cnn",
          "'foretoll:cnn' does not say what its samples are: give the shape of one (--input 3x32x32)"),
    usage("a shape that is none", "size foretoll:cnn --input big",
          "--input 'big' is no shape of a sample: give one such as 3x224x224, 1x500 or 12"),
    usage("a folder without its scheme", "size empty",
          "'empty' is no checkpoint of foretoll: name a folder of transformers as hf:empty"),
    usage("no share", "life start shop --model m --source npz:old.npz --worth 1J --watch-share much",
          "--watch-share 'much' is no share of what updates take: give 0% to 90%, such as 5%"),
    usage("batches left out for nothing", "life start shop --model m --source npz:old.npz --worth 1J --skip-looks "
          "--watch-share 0%",
          "without a share no batch is left out: leave --skip-looks out, or --watch-share 0%"),
    usage("no budget at all", "compare … --budget 0kWh",
          "--budget '0kWh' is no budget: give an energy (0.1kWh), a time (20min) or emissions (50g), or money with its "
          "price (--price 0.30EUR/kWh)"),
    usage("a plan without budget and floor", "plan …",
          "a plan needs what it may cost (--budget 2kWh) or the least quality that may be served (--floor 0.85): give "
          "one of them or both"),
    usage("a plan of no update", "plan … --updates 0 --budget 2kWh",
          "a plan of 0 updates is none: give 1 to 366, one for each period at most"),
    usage("a floor in percent", "plan … --floor 85",
          "--floor 85 is no quality: it lies above 0 and at most at 1"),
    usage("a negative number of requests", "compare … --requests -1",
          "invalid value for '--requests': Input should be greater than or equal to 0; see foretoll compare --help"),
    usage("a confidence in percent", "compare … --confidence 80",
          "--confidence 80 is no probability to rely on: it lies between 0 and 1"),
    usage("a certainty", "compare … --confidence 1",
          "--confidence 1 is no probability to rely on: it lies between 0 and 1"),
    usage("a model without a name", "estimate … --model ''",
          "'' is empty, and names no model and no file of weights: give a name or a path"),
    usage("a model named twice", "compare … --model m", "--model m is named twice: name each model once"),
    usage("sources for some of the models", "compare … --source npz:new.npz",
          "--source is given 2 times for 1 model: give it once for all of them, or once for each in their order"),
    usage("a share of the pilots that is none", "compare … --spend 300%",
          "--spend 300% is no share: give one from 0% to 100%, such as 3%"),
    usage("one weights file for several models", "compare … --model foretoll:mlp?width=16 --weights w.safetensors",
          "--weights cannot be said of 2 models at once: give checkpoint folders, which know them, or one --model"),
    Case("a second model that does not fit", "compare … --model hearer",
         "the model takes series samples, but npz:old.npz holds vector samples of shape (6,); use data of the kind "
         "that the model was made for"),
    Case("no labels to compare on", "compare … --target npz:bare.npz",
         "npz:bare.npz has no labels: compare needs them; only foretoll estimate works without"),
    Case("a file in the way", "compare … --out notes.db",
         "'notes.db' is a file and no folder: name another with --out"),
    Case("an unknown grid region", "compare … --region Germoney",
         "unknown grid region 'Germoney': did you mean 'DEU' or 'US-VT'? Else give an ISO code such as DE, FRA, US-CA "
         "or CA-QC, or your own figure in g/kWh"),
)  # fmt: skip

FLAGS = (
    usage("an unknown option of reuse", "retrain … --option fintune",
          "unknown option 'fintune': did you mean 'finetune'? (valid: OPTIONS)"),
    usage("an unknown metric", "retrain … --metric acuracy",
          "unknown metric 'acuracy': did you mean 'accuracy' or 'token_accuracy' or 'pixel_accuracy'?"),
    usage("an unknown optimiser", "train … --optimizer adagrad",
          "--optimizer: unknown optimizer 'adagrad': did you mean 'adam' or 'nadam' or 'adamw'? "
          "(valid: adafactor, adam, adamw, nadam, rmsprop, sgd)"),
    usage("a budget without end", "train … --max-epochs 1e9",
          "--max-epochs 1e+09 is more than 1,000,000: give a budget that can be spent"),
    usage("an unknown device", "retrain … --device cud",
          "unknown device 'cud': did you mean 'cuda' or 'cpu'? (valid: auto, cpu, cuda, xpu)"),
    usage("a device that is not there", "retrain … --device cuda:99",
          "device 'cuda:99' cannot be used on this machine: try --device cpu, or auto to have one chosen"),
    Case("an unknown grid region", "estimate … --region Germoney",
         "unknown grid region 'Germoney': did you mean 'DEU' or 'US-VT'? Else give an ISO code such as DE, FRA, US-CA "
         "or CA-QC, or your own figure in g/kWh"),
    usage("an unknown energy meter", "estimate … --energy nvlm",
          "unknown energy meter 'nvlm': did you mean 'nvml'? (valid: auto, codecarbon, none, nvml, rapl, replay:FILE, "
          "watts:NUMBER)"),
    Case("no energy counter", "retrain … --energy nvml --device cpu",
         "--energy nvml measures an NVIDIA GPU and the device is 'cpu': use --device cuda or --energy auto"),
    usage("a power that is none", "retrain … --energy watts:much",
          "--energy watts:much is no power: give a number of watts, such as watts:65"),
    Case("an energy series that is not there", "retrain … --energy replay:gone.json",
         "cannot read the energy series 'gone.json' (No such file or directory): give a JSON file such as "
         '{"watts": 65}'),
    Case("an impossible PUE", "retrain … --pue 0.5",
         "a PUE of 0.5 is impossible: it is total over IT energy, so 1 or more"),
    Case("a year that the grid's data do not have", "retrain … --region DE --year 1990",
         "the intensity of Germany is known for 2023, not for 1990: give your own figure with --intensity, or leave "
         "--year out"),
    Case("an impossible grid intensity", "train … --intensity -1",
         "a grid intensity of -1.0 g/kWh is impossible: give 0 or more"),
    usage("a quality in percent", "retrain … --until 95",
          "--until 95 is no quality: it lies above 0 and at most at 1 (90 % is --until 0.9)"),
    usage("several impossible settings", "retrain … --batch-size 0 --max-epochs 0",
          "--max-epochs 0.0: input should be greater than 0; --batch-size 0: input should be greater than or equal "
          "to 1"),
    usage("an impossible learning rate", "train … --lr 0", "--lr 0.0: input should be greater than 0"),
    usage("a learning rate that is none", "estimate … --lr fast",
          "--lr 'fast' is no learning rate: give a number above 0 such as 3e-4, or auto to search for one"),
    usage("a chance of everything to give up under", "retrain … --give-up 2",
          "--give-up '2': give a chance above 0 % and below 100 %, such as 5% or 0.05"),
    usage("a chance that is no number", "retrain … --give-up nan",
          "--give-up 'nan': give a chance above 0 % and below 100 %, such as 5% or 0.05"),
    usage("a chance in words", "retrain … --give-up often",
          "--give-up 'often': give a chance above 0 % and below 100 %, such as 5% or 0.05"),
    usage("a negative chance", "retrain … --give-up=-5%",
          "--give-up '-5%': give a chance above 0 % and below 100 %, such as 5% or 0.05"),
    usage("to give up without a target", "train … --give-up 5%",
          "--give-up needs a quality target, whose chance may fall: name one (--until 0.9)"),
    usage("an impossible seed", "train … --seed -1",
          "invalid value for '--seed': Input should be greater than or equal to 0; see foretoll train --help"),
    usage("a sample that is too small", "estimate … --samples 1",
          "invalid value for '--samples': Input should be greater than or equal to 2; see foretoll estimate --help"),
    usage("a budget that is none", "estimate … --calibrate lots",
          "--calibrate 'lots' is no budget: say a number of runs (6runs) or a time (90s, 5min, 1h)"),
    usage("a target among several that is none", "estimate … --until 0.9,foo",
          "--until 'foo' is no quality: give a number such as 0.9, or several by commas (0.85,0.9,0.95)"),
    usage("targets with a comma too many", "estimate … --until 0.8,,0.9",
          "--until '' is no quality: give a number such as 0.9, or several by commas (0.85,0.9,0.95)"),
    usage("a negative target", "estimate … --until 0.9,-0.5",
          "--until -0.5 is no quality: it lies above 0 and at most at 1 (90 % is --until 0.9)"),
    usage("too many targets", f"estimate … --until {','.join(f'0.{n}' for n in range(60, 81))}",
          "--until names 21 targets: ask for 20 at the most"),
    usage("a budget to be answered in another unit", "estimate … --for 3bananas",
          "--for '3bananas' is no budget: give an energy (2kWh), a time (30min), emissions (50g) or epochs (5epochs)"),
    usage("a negative budget to be answered", "estimate … --for -2kWh",
          "--for '-2kWh' is no budget: give an energy (2kWh), a time (30min), emissions (50g) or epochs (5epochs)"),
    usage("a worth without a unit", "estimate … --worth 0.2",
          "--worth '0.2' is no worth: give an energy (0.1kWh), a time (20min) or emissions (50g)"),
    usage("a worth of nothing", "estimate … --worth 0J",
          "--worth '0J' is no worth: give an energy (0.1kWh), a time (20min) or emissions (50g), or money with its "
          "price (--price 0.30EUR/kWh)"),
    usage("a worth in money without its price", "estimate … --worth 0.01EUR",
          "--worth '0.01EUR' is no worth: give an energy (0.1kWh), a time (20min) or emissions (50g), or money with "
          "its price (--price 0.30EUR/kWh)"),
    usage("too many budgets", f"estimate … --for {','.join(f'{n}s' for n in range(1, 22))}",
          "--for names 21 budgets: ask for 20 at the most"),
    usage("a budget of energy without a meter", "estimate … --for 30min,2kWh",
          "--for 2kWh cannot be answered with --energy none, which measures none: name a meter (--energy auto), or "
          "a budget of time (30min) or epochs (5epochs)"),
    Case("an estimate that is not there", "retrain … --estimate gone.json",
         "the estimate gone.json cannot be read (No such file or directory): write one with foretoll estimate --out "
         "FOLDER"),
    Case("an estimate that is none", "retrain … --estimate broken.toml",
         "broken.toml is no estimate.json of this version (file: Invalid JSON: expected ident at line 1 column 2): "
         "write it anew with foretoll estimate"),
    Case("an estimate of another schema", "retrain … --estimate schema.json",
         "schema.json is no estimate.json of this version (schema: Input should be 'foretoll.estimate/1'): write it "
         "anew with foretoll estimate"),
    usage("a missing flag", "estimate --model m", "missing option '--target' / '-t'; see foretoll estimate --help"),
    usage("an unknown flag", "retrain … --xyzzy", "no such option: --xyzzy; see foretoll retrain --help"),
    usage("an unknown command", "estimat", "no such command 'estimat': did you mean 'estimate'? see foretoll --help"),
    usage("an unknown engine", "estimate … --engine proceses:2",
          "unknown engine 'proceses:2': did you mean 'processes:4' or 'processes'? (valid: local, processes, "
          "processes:4, ray, ray://host:port, ray:4)"),
)  # fmt: skip

PLACES = (
    Case("a read-only folder", "retrain … --out locked/new",
         "nothing can be written to the folder 'locked/new' (Permission denied): name another with --out",
         under="read-only"),
    Case("the same for an estimate", "estimate … --out locked",
         "nothing can be written to the folder 'locked' (Permission denied): name another with --out",
         under="read-only"),
    Case("the same, and faults are to be errors", "--strict retrain … --until 0.1 --ledger locked/l.db --out /tmp",
         "the ledger FOLDER/locked/l.db cannot be opened or made (no permission?): name another place with "
         "FORETOLL_LEDGER=FILE", under="read-only"),
    Case("an export to a read-only folder", "ledger export locked/runs.jsonl --ledger whole.db",
         "locked/runs.jsonl cannot be written (Permission denied): name a file in a folder that exists and has space",
         under="read-only"),
    Case("a full disk, after an estimate", "estimate … --out new",
         "cannot write 'new/estimate.json' (DISK FULL): name another place with --out, or free it for writing",
         under="full disk"),
    Case("a full disk, after a training", "train … --arch foretoll:mlp?width=512 --max-epochs 1 --out new",
         "the model cannot be saved in new (REASON); name a folder that can be written and has room; the run itself is "
         "in the ledger", under="small disk"),
    Case("a file in the way", "train … --out notes.db", "'notes.db' is a file and no folder: name another with --out"),
    Case("the same for the demo", "demo --out notes.db", "'notes.db' is a file and no folder: name another with --out"),
)  # fmt: skip

LEDGER = (
    Case("a ledger that is no database", "retrain … --ledger notes.db",
         "FOLDER/notes.db is no SQLite database: name another file for the ledger or move this one away"),
    Case("the same when it is read", "ledger list --ledger notes.db",
         "FOLDER/notes.db is no SQLite database: name another file for the ledger or move this one away"),
    Case("a truncated ledger", "ledger list --ledger cut.db",
         "the ledger FOLDER/cut.db is truncated (10000 bytes): restore it from a copy or an export, or copy what "
         "can be read by foretoll ledger doctor --repair"),
    Case("a database of another program", "ledger list --ledger bookmarks.db",
         "FOLDER/bookmarks.db is an SQLite database of another program (tables bookmarks): name another file for the "
         "ledger"),
    Case("a folder for a ledger", "train … --ledger empty",
         "FOLDER/empty is a folder: name a file in it for the ledger"),
    Case("a kind of database that is not known", "ledger list --ledger nosuch://host/db",
         "the ledger nosuch://host/db is in a kind of database that is not known: use postgresql://… or the path of "
         "an SQLite file"),
    Case("an unknown run", "ledger show nosuch --ledger whole.db",
         "there is no run 'nosuch' in the ledger FOLDER/whole.db (newest: other, one): see `foretoll ledger list`"),
    Case("several runs of that beginning", "ledger show o --ledger whole.db",
         "2 runs have ids that begin with 'o' (one, other): write more of it"),
    Case("an empty ledger", "ledger show x --ledger fresh.db",
         "there is no run 'x': the ledger FOLDER/fresh.db is empty"),
    usage("an unknown outcome", "ledger list --outcome reachd",
          "unknown outcome 'reachd': did you mean 'reached'? (valid: censored, failed, given_up, interrupted, reached, "
          "running)"),
    Case("a missing export", "ledger import gone.jsonl",
         "gone.jsonl is not there: name a file that `foretoll ledger export` wrote"),
    Case("a line that is no run", "ledger import cut.jsonl",
         "cut.jsonl line 2 is no run (REASON): correct that line, or export the file again if it is truncated"),
    Case("a file of something else", "ledger import schema.json",
         "schema.json line 1 is no run (REASON): correct that line, or export the file again if it is truncated"),
    Case("a truncated export", "ledger import cut.jsonl.gz",
         "cut.jsonl.gz is truncated or no gzip file (REASON): export it again"),
    Case("a folder that is not there", "ledger export nowhere/runs.jsonl --ledger whole.db",
         "nowhere/runs.jsonl cannot be written (No such file or directory): name a file in a folder that exists and "
         "has space"),
)  # fmt: skip

STUDY = (
    usage("an unknown study", "study run nosuch",
          "unknown study 'nosuch': valid are STUDIES; or give the path of a .toml file"),
    usage("a missing study file", "study run gone.toml",
          "the study file gone.toml cannot be read: No such file or directory"),
    usage("a study file that is no TOML", "study run broken.toml",
          "broken.toml is no TOML file: Invalid value (at line 1, column 8)"),
    usage("several mistakes in a study file", "study run mistakes.toml",
          "mistakes.toml is no study file: shifts.gausian_noise: unknown shift 'gausian_noise': did you mean "
          "'gaussian_noise'?; design.options: unknown option 'fintune': did you mean 'finetune'?"),
    usage("no folder for a study's data", "study run rooted.toml",
          "rooted.toml names its data by {root}: set FORETOLL_DATA to the folder that holds them"),
    usage("more workers than a machine bears", "study run small.toml --engine processes:999999",
          "the engine 'processes:999999' asks for 999999 processes: give 1 to MANY"),
    usage("no process to score with", "study score reference --jobs 0",
          "--jobs 0 asks for 0 processes: give 1 to MANY"),
    usage("an unknown engine", "study run small.toml --engine procesess:2",
          "unknown engine 'procesess:2': did you mean 'processes:4' or 'processes'? (valid: local, processes, "
          "processes:4, ray, ray://host:port, ray:4)"),
    usage("a number of workers that is none", "study run small.toml --engine processes:many",
          "the engine 'processes:many' needs a number of workers after the colon, such as processes:4"),
    usage("an unknown device", "study run small.toml --device cud",
          "unknown device 'cud': did you mean 'cuda' or 'cpu'? (valid: auto, cpu, cuda, xpu)"),
    Case("an unknown region", "study run small.toml --region Germoney",
         "unknown grid region 'Germoney': did you mean 'DEU' or 'US-VT'? Else give an ISO code such as DE, FRA, US-CA "
         "or CA-QC, or your own figure in g/kWh"),
    Case("a file in the way", "study run small.toml --out notes.db",
         "'FOLDER/notes.db' is a file and no folder: name another with --out"),
    usage("a study that is not there", "study table gone",
          "'gone' is no ledger: give the folder of a study, a ledger (.db) or an export (.jsonl, .jsonl.gz)"),
    usage("nothing to pack", "study pack whole.db --into empty",
          "'whole.db' has no run of a study to pack: name a study's folder, ledger or export"),
)  # fmt: skip

SECTIONS: dict[str, tuple[Case, ...]] = {
    "Data": DATA,
    "Data URIs": URIS,
    "Model and data that do not fit": FIT,
    "Models and weights": MODELS,
    "Comparisons": COMPARE,
    "Flags": FLAGS,
    "Places to write to": PLACES,
    "Ledger": LEDGER,
    "Studies": STUDY,
}
ALL = tuple(case for cases in SECTIONS.values() for case in cases)

# What is told by other means than the table's test; each names the test that drives it.
FAULTS = (
    ("Ctrl-C in the middle of a run", "`run RUN interrupted (stopped by the user); what was measured is kept: foretoll "
     "ledger show RUN`, exit 1; the ledger has the run as interrupted", "tests/cli/test_bad_input.py"),
    ("Ctrl-C at any other time", "`stopped by the user`, exit 1", "tests/cli/test_bad_input.py"),
    ("SIGTERM (Slurm, Kubernetes) or SIGHUP in the middle of a run", "`run RUN interrupted (stopped by SIGTERM); "
     "what was measured is kept: foretoll ledger show RUN`, exit 143 (SIGHUP: 129); a second signal waits for the "
     "record", "tests/cli/test_interruption.py"),
    ("a record of the ledger that is damaged, or that a newer foretoll wrote", "it is passed over; `warning: 1 record "
     "could not be read: run RUN (REASON); see foretoll ledger doctor`", "tests/ledger/test_unreadable.py"),
    ("two `study run` on one folder", "`the studies in FOLDER are being run by process N on HOST since TIME`, "
     "exit 1", "tests/study/test_lock.py"),
    ("a dozen mistakes in a study file", "a line for each of them on the standard error, exit 2",
     "tests/study/test_mistakes.py"),
    ("a loss that diverges", "`run RUN failed (the loss became nan by step N: try a smaller --lr); what was measured "
     "is kept: foretoll ledger show RUN`, exit 1", "tests/cli/test_commands.py"),
    ("a disk that fills up while a model is trained", "the model is saved in the folder for temporary files, and the "
     "message names it; the run is in the ledger with all that was measured", "tests/workflows/test_carry_out.py"),
    ("SIGKILL in the middle of a run", "the ledger opens, the run is shown as interrupted, a checkpoint folder loads "
     "whole or not at all", "tests/workflows/test_kill.py"),
    ("SIGKILL in the middle of a ledger write; two processes writing", "nothing that was confirmed is lost",
     "tests/ledger/test_processes.py"),
    ("a worker that dies", "its task is begun again by another one", "tests/engine"),
    ("a class that is missing on one side", "works: the index is the mean over the other classes, and a warning names "
     "them", "tests/cli/test_bad_input.py"),
    ("an unlabelled target", "`estimate` works and says what it could not know", "tests/cli/test_commands.py"),
    ("a ledger that cannot be written: read-only, locked, damaged, a full disk, a server that is away",
     "`retrain` and `train` go on: one line, and the run is kept in a file that the next command takes in; `estimate` "
     "and `compare` rest on the runs that come with foretoll, and say so", "tests/workflows/test_lost_ledger.py"),
    ("a fault of foretoll itself beside a training", "one line, and the training goes on "
     "([own_faults.md](own_faults.md))", "tests/tracking/test_faults.py"),
    ("a damaged ledger", "`foretoll ledger doctor` prints a sentence for each finding, exit 1",
     "tests/cli/test_commands.py"),
    ("a ledger with damaged pages, or cut short", "`foretoll ledger doctor --repair` copies the runs that can be read "
     "into a new ledger, and counts the rows that are lost", "tests/ledger/test_salvage.py"),
    ("pictures that cannot be read", "the first one's name and their count; with `skip_unreadable=true` in the URI "
     "they are left out, and a warning says how many", "tests/data/test_unreadable.py"),
    ("a text table that is no UTF-8", "the message names the column and `encoding=`", "tests/data/test_encodings.py"),
    ("a network or a data set in Python whose own code fails", "the message names the item or the shape of the batch; "
     "the error itself is its cause", "tests/data/test_items.py"),
)  # fmt: skip

HEAD = """# Bad input and faults

Whatever is wrong, foretoll says it in one sentence on the standard error, which names the offending thing and the way
out, and ends with exit code 1 (failed) or 2 (wrong use). There is no stack trace (`FORETOLL_DEBUG=1` shows it for
what was not foreseen), and nothing that was measured or saved before is lost.

The tables are written by `python tests/cli/bad_input.py`; `tests/cli/test_bad_input.py` types every command and
compares every message. `…` stands for `--model m --source npz:old.npz --target npz:new.npz` (in `train` for
`--arch foretoll:mlp --data npz:old.npz`); a flag that follows it takes the place of the first, or in
`compare` is a further model. `FOLDER` is the
current folder, `RUN` the id of a run, `REASON` and `DISK FULL` the words of a library or of the operating system,
`OPTIONS` and `STUDIES` the names that there are.
"""


PRINTED = """## What is printed

Names come from files, ledgers and other people. Control characters, line ends, bidirectional marks and lone surrogates
in them are written as escapes (`\\x1b`), markup (`[red]`) is shown as it stands, and very long names are cut, in
tables, messages, progress and pages alike; JSON keeps them whole and escapes them. A message is one line of at most
300 characters. A terminal whose encoding lacks a character gets a plain one (`u` for `µ`, `...` for `…`), and `--json`
is then plain ASCII. A closed pipe (`| head`) ends the command quietly; an output that cannot be written (a full disk,
a closed stream) is one sentence, and what was measured is in the ledger and in the folder of `--out` by then.

Warnings, logs and progress bars of other libraries, and what their C code writes, are kept off the terminal;
`FORETOLL_DEBUG=1` shows them. foretoll's own warnings are lines that begin with `foretoll: warning:`. A broken
`.codecarbon.config`, or a value of `CODECARBON_FORCE_CPU_POWER` that is no power, is passed over with such a line.
"""

HOSTILE = """## Hostile inputs

`make fuzz` (`python -m tests.fuzz --cases 2400 --seed 0`) makes inputs that nobody means well by, types a command for
each, and judges what came of it: files of data (.npz, Parquet, CSV, folders of images), models (cards, headers,
weights, pickles, folders of transformers), ledgers, exports, studies, flags, URIs, environments and streams. The laws:
no code of an input runs, no process grows by more than 1 GB, nothing takes 60 s of CPU, nothing is killed, there is no
stack trace and no error that was not foreseen, and a message is one printable line of at most 300 characters that names
the thing. `tests/fuzz` holds them in the test suite with one input of every kind; `--only AREA/INDEX` repeats one.

Each input is made and run in a process that is forked from one which has everything loaded, and whose memory is
watched. Beside the command line the doors of Python are called, with tables, arrays, data sets and networks that lie,
fail or write where they should not, and what was handed over must be the same afterwards.

What came of the inputs of the last run (2026-11-30, AMD EPYC, 2 cores, Python 3.11.7, 30 minutes), from one state of
the code, `python -m tests.fuzz --cases 2000 --seed 77` (a line for a law that was broken is left out where none was):

| outcome | commands | data | models | python | records | all |
|---|---|---|---|---|---|---|
| answered | 138 | 137 | 44 | 81 | 131 | 531 |
| refused | 63 | 255 | 328 | 258 | 138 | 1042 |
| wrong use | 198 | 2 | 25 | 57 | 130 | 412 |
| executed | 0 | 0 | 2 | 0 | 0 | 2 |
| hang | 0 | 4 | 0 | 0 | 1 | 5 |
| control | 0 | 0 | 0 | 1 | 0 | 1 |
| unnamed | 1 | 2 | 1 | 3 | 0 | 7 |

What broke a law, and what became of it. Corrected, with tests: values that no float32 normalises were called the
model's fault (twice), an empty `--model` was taken for the current folder, a study's budget of 10^9 epochs was begun,
and the words of a network's own error reached the terminal with their control characters. Four hangs were forty
pictures of 81 megapixels, which the decoder alone needs 60 to 70 s of CPU for on this machine (they are of 49 now).
What was executed twice is a module that the command itself named (`-m evil:gone`), which is allowed; the fuzzer takes
a harmless one there now. The other four messages name the thing, by words that the judge did not know.
"""


def code(text: str) -> str:
    """Text as it stands, in Markdown, also with backticks or bars in it."""
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, cases in SECTIONS.items():
        rows = [f"| {c.what} | {code(c.command)} | {code(c.message)} | {c.code} |" for c in cases]
        parts.append(_table(title, "| what | command | message | exit |", rows))
    rows = [f"| {what} | {answer} | `{test}` |" for what, answer, test in FAULTS]
    parts.append(_table("Faults, and what works all the same", "| what | answer | tested in |", rows))
    parts += [PRINTED, HOSTILE]
    return "\n".join(parts)


def _table(title: str, head: str, rows: list[str]) -> str:
    line = "|" + "---|" * (head.count("|") - 1)
    return "\n".join([f"## {title}\n", head, line, *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
