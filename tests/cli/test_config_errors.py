"""Mistakes in a configuration: one message that names the key and the nearest right one."""

import pytest
import yaml

from vidssl.cli.main import main


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def changed(file, key, value):
    """Write the configuration with one entry set; `key` is dotted, numbers are list positions."""
    config = yaml.safe_load(file.read_text())
    node = config
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in parents:
        node = node[part]
    node[last] = value
    file.write_text(yaml.safe_dump(config))


def message(capsys, *args):
    assert main([str(arg) for arg in args]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "Given value" not in told
    assert "usage:" not in told
    assert told.count("vidssl: error:") == 1
    return told.split("vidssl: error: ")[1].strip()


IN_A_FILE = [
    # unknown keys
    ("modle", {"temperature": 1}, "Unknown key 'modle.temperature'. Did you mean 'model.temperature'?"),
    ("rundir", "x", "Unknown key 'rundir'. Did you mean 'run_dir'?"),
    ("data.batchsize", 3, "Unknown key 'data.batchsize'. Did you mean 'data.batch_size'?"),
    ("data.loading.num_worker", 3, "Unknown key 'data.loading.num_worker'. Did you mean 'data.loading.num_workers'?"),
    ("data.sampler.init_args.strid", 3, "data.sampler (IntervalSampler) has no key 'strid'. Did you mean 'stride'?"),
    ("data.augmentations.1.crop_siz", 3, "(AugmentationRecipe) has no key 'crop_siz'. Did you mean 'crop_size'?"),
    ("model.init_args.temperatur", 3, "model (CVRL) has no key 'temperatur'. Did you mean 'temperature'?"),
    ("model.temperature", 3, "'model.temperature' beside class_path; what the class takes goes below init_args"),
    ("model.init_args.backbone.nam", "x", "model (CVRL) has no key 'backbone.nam'. Did you mean 'backbone.name'?"),
    ("trainer.max_epoch", 3, "Unknown key 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?"),
    (
        "trainer.callbacks.0.init_args.protocol",
        3,
        "has no key 'protocol'. Did you mean 'protocols'? It takes: protocols",
    ),
    (
        "trainer.callbacks.2",
        {"class_path": "StepTimer", "initargs": {}},
        "trainer.callbacks: an entry takes class_path",
    ),
    ("wandb", {"mod": "x"}, "Unknown key 'wandb.mod'. Did you mean 'wandb.mode'?"),
    # wrong types
    ("data.batch_size", "many", "data.batch_size: expected int, got 'many'."),
    ("data.loading", 3, "data.loading: expected keys and values, got 3. It takes: num_workers, decoder"),
    ("data.loading.num_workers", "two", "data.loading.num_workers: expected int, got 'two'."),
    ("data.augmentations.1.crop_size", "big", "data.augmentations (AugmentationRecipe), crop_size: expected int, got"),
    ("data.augmentations", "strong", "data.augmentations: expected a list or null, got 'strong'."),
    ("data.sampler.init_args.stride", "x", "data.sampler (IntervalSampler), stride: expected int, got 'x'."),
    ("model.init_args.temperature", "hot", "model (CVRL), temperature: expected float, got 'hot'."),
    ("model.init_args.optimizer.learning_rate", "fast", "model (CVRL), optimizer.learning_rate: expected float, got"),
    (
        "model.init_args.backbone",
        "small",
        "model (CVRL), backbone: expected keys and values, got 'small'. It takes: name",
    ),
    ("trainer.max_epochs", "x", "trainer.max_epochs: expected int or null, got 'x'."),
    ("trainer.callbacks.0.init_args.protocols", 3, "(FrozenFeatureEvaluation), protocols: expected a list, got '3'."),
    # wrong names
    ("model.class_path", "CVLR", "model: unknown class 'CVLR'. Did you mean 'CVRL'?"),
    ("model.class_path", "cvrl", "model: unknown class 'cvrl'. Did you mean 'CVRL'?"),
    ("model.class_path", "my.module.Thing", "model: cannot import 'my.module.Thing': No module named 'my'."),
    (
        "data.sampler.class_path",
        "IntervallSampler",
        "unknown class 'IntervallSampler'. Did you mean 'IntervalSampler'?",
    ),
    (
        "trainer.callbacks.2.class_path",
        "StepTimr",
        "trainer.callbacks: unknown class 'StepTimr'. Did you mean 'StepTimer'?",
    ),
    ("model.init_args.backbone.name", "smal", "Unknown backbone 'smal'. Did you mean 'small'? Known:"),
    ("model.init_args.backbone.options", {"widht": 2}, "has no option 'widht'. Did you mean 'width'?"),
    ("data.sampler.init_args.density", "decresing", "unknown density 'decresing'. Did you mean 'decreasing'?"),
    ("data.loading.decoder", "decrod", "data.loading.decoder: unknown decoder 'decrod'. Did you mean 'decord'?"),
    ("data.sampler.init_args.stride", 0, "data.sampler.stride must be at least 1, got 0."),
    ("data.evaluation.stride", 0, "data.evaluation.stride must be at least 1, got 0."),
    ("data.evaluation.crop_size", 64, "data.evaluation.crop_size (64) is larger than the resized short side"),
    ("data.name", "a/b", "data.name: 'a/b' must be a word without a slash."),
    ("model.init_args.temperature", 0, "model.temperature must be above 0, got 0.0."),
    ("model.init_args.reduction", "maen", "model.reduction: unknown reduction 'maen'. Did you mean 'mean'?"),
    ("model.init_args.head.embedding_dim", 0, "model.head.embedding_dim: a layer must be at least 1 wide, got 0."),
    ("model.init_args.optimizer.name", "adam", "model.optimizer.name: unknown optimiser 'adam'. Did you mean 'adamw'?"),
    ("model.init_args.optimizer.learning_rate", -1, "model.optimizer.learning_rate must be above 0, got -1.0."),
    ("model.init_args.optimizer.warmup_epochs", -1, "model.optimizer.warmup_epochs must be 0 or more, got -1.0."),
    ("model.init_args.backbone.pixel_std", [0.2, 0, 0.2], "model.backbone.pixel_std divides the pixels"),
    ("data.loading.max_bad_fraction", 3, "data.loading.max_bad_fraction is a share in [0, 1], got 3.0."),
    ("data.loading.num_workers", -1, "num_workers and timeout_seconds must be 0 or more"),
    ("trainer.callbacks.0.init_args.protocols", ["knnn"], "Unknown protocol 'knnn'. Did you mean 'knn'?"),
    ("trainer.accelerator", "cpuu", "trainer: You selected an invalid accelerator name"),
    ("wandb", {"mode": "offlien"}, "wandb.mode: unknown mode 'offlien'. Did you mean 'offline'?"),
    ("data.train_split", "trian", "has no split 'trian'. Did you mean 'train'?"),
    ("data.catalog", "/nowhere.catalog", "There is no catalog /nowhere.catalog; make one with `vidssl prepare`."),
    ("data.root", "/no/such/folder", "data.root: there is no folder /no/such/folder"),
    # interpolation
    ("data.batch_size", "${nope}", "data.batch_size: ${nope} names no key."),
    ("data.batch_size", "${data.batchsize}", "${data.batchsize} names no key. Did you mean 'data.batch_size'?"),
    ("data.root", "${oc.env:VIDSSL_NO_SUCH_VARIABLE}", "the environment variable VIDSSL_NO_SUCH_VARIABLE is not set"),
    ("data.root", "${oc.nope:x}", "data.root: Unsupported interpolation type oc.nope."),
]


@pytest.mark.parametrize(("key", "value", "words"), IN_A_FILE)
def test_a_mistake_in_a_file_names_the_key(small_config, capsys, key, value, words):
    changed(small_config, key, value)
    assert words in message(capsys, "fit", "--config", small_config)


AS_A_FLAG = [
    (["--rundir", "x"], "Unknown key 'rundir'. Did you mean 'run_dir'?"),
    (["--model.temperatur", "0.2"], "model (CVRL) has no key 'temperatur'. Did you mean 'temperature'?"),
    (["--modle.temperature", "0.2"], "Unknown key 'modle.temperature'. Did you mean 'model.temperature'?"),
    (["--temperature", "0.2"], "Unknown key 'temperature'. Did you mean 'model.temperature'?"),
    (["--model.optimizer.lr", "1"], "has no key 'optimizer.lr'. It takes: name, learning_rate"),
    (["--data.batchsize", "3"], "Unknown key 'data.batchsize'. Did you mean 'data.batch_size'?"),
    (["--data.loading.num_worker", "3"], "Did you mean 'data.loading.num_workers'?"),
    (["--data.sampler.strid", "3"], "data.sampler (IntervalSampler) has no key 'strid'. Did you mean 'stride'?"),
    (["--trainer.max_epoch", "3"], "Unknown key 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?"),
    (["--trainer.callbacks+=StepTimr"], "unknown class 'StepTimr'. Did you mean 'StepTimer'?"),
    (["--model", "CVLR"], "model: unknown class 'CVLR'. Did you mean 'CVRL'?"),
    (["--model.help", "CVLR"], "model: unknown class 'CVLR'. Did you mean 'CVRL'?"),
    (["--model.temperature", "hot"], "model (CVRL), temperature: expected float, got 'hot'."),
    (["--data.batch_size", "many"], "data.batch_size: expected int, got 'many'."),
    (["--data.batch_size"], "--data.batch_size needs a value."),
    (["stray"], "Cannot make sense of 'stray'"),
    (["--ckpt_path", "no.ckpt"], "ckpt_path: there is no checkpoint no.ckpt: no such file."),
    (
        [
            "--trainer.strategy=ModelParallelStrategy",
            "--trainer.strategy.data_parallel_size=1",
            "--trainer.strategy.tensor_parallel_size=1",
        ],
        "trainer.strategy: ModelParallelStrategy splits the parameters of a network over the devices",
    ),
    (
        ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=1"],
        "trainer: Found more than one stateful callback of type `ModelCheckpoint`",
    ),
    (["--ckpt_path", "last"], "ckpt_path last: no checkpoints/last.ckpt below"),
]


@pytest.mark.parametrize(("flags", "words"), AS_A_FLAG)
def test_a_mistake_in_a_flag_names_the_key(small_config, capsys, flags, words):
    assert words in message(capsys, "fit", "--config", small_config, *flags)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"model: {class_path: CVRL\ndata: 3\n", "line 2 is not valid YAML"),
        (b"model:\n\tclass_path: CVRL\n", "line 2 is not valid YAML: found character '\\t'"),
        (b"- a\n- b\n", "holds a list; it must hold keys and values"),
        (b"", "is empty"),
        (b"\xa0\xff\x00", "cannot be read as YAML text"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(small_config, tmp_path, capsys, content, words):
    broken = tmp_path / "broken.yaml"
    broken.write_bytes(content)
    told = message(capsys, "fit", "--config", small_config, f"--config={broken}")
    assert str(broken) in told
    assert words in told


def test_missing_files_and_keys_are_named(tmp_path, small_config, capsys):
    assert message(capsys, "fit", "--config", tmp_path / "no.yaml") == f"--config: {tmp_path / 'no.yaml'} is not there."
    assert message(capsys, "fit", "-c", tmp_path) == f"--config: {tmp_path} is a folder, not a file."
    assert message(capsys, "fit", "--run_dir", tmp_path / "x") == "Missing key: data.catalog, model."
    assert "--config configs/quickstart.yaml" in message(capsys, "fit")


def test_a_fault_of_a_class_is_no_mistake_of_the_user(small_config, monkeypatch):
    def faulty(*args, **kwargs):
        raise ValueError("a fault in the code")

    monkeypatch.setattr("vidssl.reporting.callbacks.StepTimer.__init__", faulty)
    with pytest.raises(ValueError, match="a fault in the code"):
        main(["fit", "--config", str(small_config)])


# --- files that are no configuration ---


@pytest.mark.parametrize("flag", ["--data", "--model", "--trainer", "--data.loading", "--data.motion.settings"])
def test_a_flag_that_names_a_file_which_is_no_configuration_says_so(flag, small_config, tmp_path, capsys):
    file = tmp_path / "last.ckpt"
    file.write_bytes(b"\xd0\x00\xff")
    told = message(capsys, "fit", "--config", small_config, flag, file)
    assert told.startswith(f"{flag}: {file} cannot be read as YAML text: 'utf-8' codec can't decode")


def test_a_catalog_in_place_of_the_data_group_is_told_by_motion(synthetic_catalog, tmp_path, capsys):
    told = message(capsys, "motion", "--data", synthetic_catalog, "--output", tmp_path / "x.motion")
    assert told.startswith(f"--data: {synthetic_catalog} cannot be read as YAML text")


# --- null ---


def printed(capsys, *args):
    with pytest.raises(SystemExit):
        main(["fit", *map(str, args), "--print_config"])
    return yaml.safe_load(capsys.readouterr().out)


def test_null_as_a_flag_is_null_below_every_dataclass(capsys):
    flags = ["--model.contrast.hidden_dim", "--model.backbone.weights", "--data.motion.settings.short_side"]
    config = printed(capsys, "--objective", "MoCo", *(word for flag in flags for word in (flag, "null")))
    settings = config["model"]["init_args"]
    assert settings["contrast"]["hidden_dim"] is None
    assert settings["backbone"]["weights"] is None
    assert config["data"]["motion"]["settings"]["short_side"] is None


def test_values_in_a_mapping_given_as_a_flag_stay_what_they_are(capsys):
    options = {"width": None, "path": "C:\\new", "deep": [True, None, 1.5]}
    flag = ["--model.backbone.options", yaml.safe_dump(options, default_flow_style=True)]
    assert printed(capsys, "--objective", "CVRL", *flag)["model"]["init_args"]["backbone"]["options"] == options
