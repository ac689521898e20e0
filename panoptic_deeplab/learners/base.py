"""The learner of any method: OpenDR's verbs, each a call of engine or inference."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image as PillowImage

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.errors import UsageError, UserError
from panoptic_deeplab.files import as_json, replacing_folder, usable_folder, write_json
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.learners import recipe
from panoptic_deeplab.learners.checked import Checked
from panoptic_deeplab.learners.datasets import PreparedDataset
from panoptic_deeplab.learners.downloading import download
from panoptic_deeplab.learners.drawing import draw
from panoptic_deeplab.learners.heatmap import Heatmaps, heatmaps_of, raw_of
from panoptic_deeplab.learners.images import Image, imwrite, rgb_pixels
from panoptic_deeplab.learners.saved_models import meta_data, weights_of
from panoptic_deeplab.learners.scores import opendr_scores, training_history
from panoptic_deeplab.learners.torch_device import start
from panoptic_deeplab.learners.training_run import new_run, told

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config
    from panoptic_deeplab.engine.predictor import Predictor

TEMP_PATH = str(Path(__file__).parent / "eval_tmp_dir")
LOGGING_PATH = os.path.join("output", "logging")
_OTHER_CLASSES = "take a data set with the classes of the configuration"


class PanopticLearner:
    """Trains, evaluates and runs one method, with the face of OpenDR's learners.

    What is None follows the configuration.

    Args:
        config_file: path or name of a configuration; else the method's own.
        lr: learning rate.
        iters: epochs of a training; else the method's own number.
        batch_size: samples of a step, and images that are predicted at a time.
        optimizer: SGD, Adam or AdamW.
        lr_schedule: as mmcv's `lr_config`; see `recipe.schedule_section`.
        momentum: of SGD.
        weight_decay: of the optimizer.
        optimizer_config: `{"grad_clip": {"max_norm": 35, "norm_type": 2}}`.
        checkpoint_after_iter: epochs between checkpoints, and evaluations; 0 for none but the last.
        temp_path: kept for OpenDR's sake; nothing is written there, and nothing is removed.
        device: `cuda`, `cuda:N`, for a GPU if Paddle sees one, or `cpu`.
        num_workers: processes that read ahead in a training, threads in an evaluation; 0 for none.
        seed: of random weights and of a training.

    Attributes:
        model: the network.
        method: its name in the folders that `save` makes.
        default_config: the name of its configuration.
        default_epochs: of its training.
        published: what a model was trained on -> its name in the zoo.

    Raises:
        TypeError: an argument is of another type.
        ValueError: a number is too small.
        UsageError: there is no such configuration, device or setting.
    """

    method: str
    default_config: str
    default_epochs: int
    published: Mapping[str, str]

    lr = Checked(float)
    iters = Checked(int, min_value=1)
    batch_size = Checked(int, min_value=1)
    optimizer = Checked(str)
    checkpoint_after_iter = Checked(int, min_value=0)
    temp_path = Checked(str)
    device = Checked(str)

    def __init__(
        self,
        config_file: str | None = None,
        lr: float | None = None,
        iters: int | None = None,
        batch_size: int | None = None,
        optimizer: str | None = None,
        lr_schedule: Mapping[str, Any] | None = None,
        momentum: float | None = None,
        weight_decay: float | None = None,
        optimizer_config: Mapping[str, Any] | None = None,
        checkpoint_after_iter: int = 1,
        temp_path: str = TEMP_PATH,
        device: str = "cuda:0",
        num_workers: int = 1,
        seed: float | None = None,
    ) -> None:
        self.device, self.temp_path = device, temp_path
        self.checkpoint_after_iter = checkpoint_after_iter
        self._num_workers, self._seed = 0, _whole_seed(seed)
        if num_workers != 0:  # which OpenDR's setter alone refuses
            self.num_workers = num_workers
        start(device)
        self._cfg = _configuration(config_file or self.default_config)
        tree = self._cfg.tree
        self.lr = float(tree["lr_scheduler"]["learning_rate"]) if lr is None else lr
        self.iters = self.default_epochs if iters is None else iters
        self.batch_size = self._cfg.batch_size if batch_size is None else batch_size
        self._configured_optimizer = tree["optimizer"]["type"] if optimizer is None else None
        self.optimizer = self._configured_optimizer or optimizer
        self._momentum, self._weight_decay = momentum, weight_decay
        self._optimizer_config = optimizer_config
        self._lr_schedule = lr_schedule
        self._training_sections(recipe.Length(1, 1))  # to refuse wrong settings now
        self.model: Any = self._fresh_model()
        self._is_model_trained = False

    @property
    def config(self) -> Config:
        """The configuration: of the last training or loaded model, else the one given."""
        return self._cfg

    @property
    def lr_schedule(self) -> Mapping[str, Any] | None:
        """The schedule as given; None for the configuration's."""
        return self._lr_schedule

    @property
    def num_workers(self) -> int:
        """Workers that read ahead; the setter refuses what is no positive whole number."""
        return self._num_workers

    @num_workers.setter
    def num_workers(self, value: int) -> None:
        if not isinstance(value, int):
            raise TypeError("num_workers should be an integer.")
        if value <= 0:
            raise ValueError("num_workers should be positive.")
        self._num_workers = value

    def fit(
        self,
        dataset: PreparedDataset,
        val_dataset: PreparedDataset | None = None,
        logging_path: str = LOGGING_PATH,
        silent: bool = False,
        verbose: bool | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """Train on a data set, from the current weights where they are loaded or trained.

        Args:
            dataset: what to train on.
            val_dataset: what to evaluate on at each checkpoint.
            logging_path: each training makes a folder below it, named by date and time, with
                checkpoints, `train.log` and `metrics.jsonl`.
            silent: print nothing of the progress.
            verbose: not used.

        Returns:
            `train`, a row for each step, and with a `val_dataset` `val`, a row for each evaluation.

        Raises:
            RuntimeError: there is no model, or `val_dataset` has no panoptic ground truth.
            TypeError: a data set is none of this module.
            DataError: a file cannot be used, or the classes are others.
            UsageError: the settings are impossible.
        """
        if verbose is not None:
            warnings.warn(
                "The verbose parameter is not supported and will be ignored.", stacklevel=2
            )
        from panoptic_deeplab.engine.loading import TrainingOrder
        from panoptic_deeplab.engine.plan import TrainingPlan
        from panoptic_deeplab.engine.training import train

        _refuse_other_types(dataset)
        if val_dataset is not None:
            _refuse_other_types(val_dataset)
            val_dataset.samples()  # to tell now, not after the first epoch, what it lacks
        processes = distributed.world_size()
        order = TrainingOrder(len(dataset), self.batch_size, self._seed, 0, 0, 0, processes)
        length = recipe.Length(self.iters, order.steps_per_epoch)
        config = self._training_config(dataset, val_dataset, length)
        interval = self.checkpoint_after_iter * length.steps_per_epoch
        plan = TrainingPlan(
            iters=length.steps,
            batch_size=self.batch_size,
            save_dir=new_run(logging_path),
            save_interval=interval or length.steps,
            log_iters=1,
            num_workers=self.num_workers,
            seed=self._seed,
            do_eval=val_dataset is not None,
        )
        with told(silent):
            train(config, plan)
        self._cfg, self._is_model_trained = config, True
        history = distributed.is_main() and training_history(
            plan.save_dir, length.steps_per_epoch, plan.do_eval
        )
        return distributed.gather(history)[0]

    def eval(self, dataset: PreparedDataset, print_results: bool = False) -> dict[str, Any]:
        """Evaluate on a data set.

        Args:
            dataset: with panoptic ground truth.
            print_results: print a table.

        Returns:
            `All`, `Things`, `Stuff`: {pq, sq, rq, n}, and `per_class`: {name: {pq, sq, rq}}, in
            fractions.

        Raises:
            RuntimeError: no model, or no panoptic ground truth.
            TypeError: the data set is none of this module.
            DataError: a file cannot be used, or the classes are others.
        """
        _refuse_other_types(dataset)
        from panoptic_deeplab.engine.evaluator import evaluate
        from panoptic_deeplab.evaluation import PanopticQuality, format_table

        predictor = self._predictor()
        samples = dataset.samples(self._cfg.val_transforms)
        self._refuse_other_classes()
        evaluators = [PanopticQuality(samples.info)]
        results = evaluate(predictor, samples, evaluators, self.num_workers)
        if print_results:
            print(format_table(results, samples.info))
        return opendr_scores(results)

    def infer(
        self, batch: Any, return_raw_logits: bool = False
    ) -> Heatmaps | list[Heatmaps] | list[Any]:
        """Predict an image, or each of a list.

        Args:
            batch: an OpenDR image or one of `learners.Image`; a path, a Pillow image or an array
                [H, W, 3] RGB will do as well.
            return_raw_logits: return [ids [H, W], class index by id, facts of the image] for each
                image, as OpenDR does under that name.

        Returns:
            For each image two maps [H, W]: ids of segments (0 void) and class indices (255 void).

        Raises:
            RuntimeError: there is no model.
            DataError: an image cannot be read.
        """
        predictor = self._predictor()
        if not self._is_model_trained:
            warnings.warn("The current model has not been trained.", stacklevel=2)
        from panoptic_deeplab.inference.model import Model

        is_single = not isinstance(batch, (list, tuple))
        images = [rgb_pixels(image) for image in ([batch] if is_single else batch)]
        results = Model(predictor).predict(images, max(1, self.batch_size))
        form = raw_of if return_raw_logits else heatmaps_of
        predictions = [form(result) for result in results]
        return predictions[0] if is_single else predictions

    def save(self, path: str | os.PathLike[str]) -> bool:
        """Save the model as a folder of this method's name below `path`.

        It is a checkpoint folder, which `load_model` and the commands take, with OpenDR's JSON.

        Returns:
            True.

        Raises:
            RuntimeError: there is no model.
            DataError: the folder cannot be made.
        """
        from panoptic_deeplab.engine.checkpoint import MODEL_FILES, write_model

        weights = self._existing_model().state_dict()
        if not self._is_model_trained:
            warnings.warn("The current model has not been trained.", stacklevel=2)
        folder = Path(path).expanduser() / self.method
        if folder.exists():
            message = "The given path already exists. Any content will be overwritten."
            warnings.warn(message, stacklevel=2)
        usable_folder(folder.parent)
        summary = f"{self.method}.json"
        with replacing_folder(folder, {*MODEL_FILES, summary}) as draft:
            write_model(draft, weights, self._cfg.info, self._cfg.to_yaml())
            write_json(draft / summary, meta_data(self.method, self._is_model_trained), indent=1)
        return True

    def load(self, path: str | os.PathLike[str]) -> bool:
        """Load a model.

        Args:
            path: what was given to `save`, or the folder that it made; a published `.pth`, also of
                OpenDR; a checkpoint folder or file of weights; a name of the zoo or a URL. Weights
                with a configuration beside them come with their network and classes.

        Returns:
            Whether it was loaded; a warning says why not.
        """
        try:
            self._load(weights_of(os.path.expanduser(path), self.method))
        except UserError as error:
            warnings.warn(str(error), stacklevel=2)
            return False
        self._is_model_trained = True
        return True

    def optimize(self, target_device: str) -> bool:
        """Not needed; `panoptic-deeplab export` makes files for other runtimes."""
        raise NotImplementedError

    def reset(self) -> None:
        """Not needed, for a learner has no state between images."""
        raise NotImplementedError

    @classmethod
    def download(cls, path: str, mode: str = "model", trained_on: str = "cityscapes") -> str:
        """Fetch published weights into a folder.

        Args:
            path: the folder; it is made.
            mode: `model`.
            trained_on: the data set; `published` lists them.

        Returns:
            The file, which `load` takes.

        Raises:
            ValueError: there is no such mode or model.
            DataError: it cannot be fetched; where only a person can, the message tells from where
                and where to put it.
        """
        return download(cls.published, path, mode, trained_on)

    @staticmethod
    def visualize(
        image: Any,
        prediction: tuple[Any, Any],
        show_figure: bool = True,
        save_figure: bool = False,
        figure_filename: str | None = None,
        figure_size: tuple[float, float] = (15, 10),
        detailed: bool = False,
    ) -> Image:
        """Draw a prediction over its image.

        Args:
            image: as `infer` takes it.
            prediction: the two maps of `infer`, or of OpenDR's.
            show_figure: open the machine's image viewer.
            save_figure: write `figure_filename`.
            figure_filename: the image file to write.
            figure_size: (width, height) of the detailed form in inches of 100 pixels.
            detailed: image, panoptic, semantic and instance map beside each other.

        Raises:
            ValueError: a file is to be written and has no name.
            DataError: maps and image are of different sizes.
        """
        if save_figure and figure_filename is None:
            raise ValueError("save_figure needs a figure_filename")
        drawn = draw(image, prediction, figure_size if detailed else None)
        if save_figure:
            imwrite(drawn, figure_filename)
        if show_figure:
            PillowImage.fromarray(drawn).show()
        return Image(drawn.transpose(2, 0, 1), guess_format=False)

    def _fresh_model(self) -> Any:
        import paddle

        paddle.seed(self._seed)
        return self._cfg.model

    def _existing_model(self) -> Any:
        if self.model is None:
            raise RuntimeError("No model loaded.")
        return self.model

    def _predictor(self) -> Predictor:
        """Return the model as a function from images to predictions."""
        from panoptic_deeplab.engine.predictor import Predictor

        config = self._cfg
        return Predictor(
            self._existing_model(),
            config.preprocess,
            config.val_transforms,
            config.postprocessor,
            config.info,
        )

    def _training_config(
        self, dataset: PreparedDataset, val_dataset: PreparedDataset | None, length: recipe.Length
    ) -> Config:
        """Return the configuration of a training of the current model."""
        self._refuse_other_classes()
        tree = self._cfg.tree
        dataset.pipeline = tree["train_dataset"].get("transforms", [])
        validation = val_dataset or dataset
        changes = {
            "train_dataset": dataset.section(dataset.pipeline),
            "val_dataset": validation.section(tree["val_dataset"].get("transforms", [])),
            "batch_size": self.batch_size,
            "recipe_batch_size": self.batch_size * distributed.world_size(),  # what `lr` is for
            "iters": length.steps,
            **self._training_sections(length),
        }
        if self._is_model_trained:  # its own weights are better than those of ImageNet
            changes |= {
                ".".join(filter(None, ("model", part, "pretrained"))): None
                for part in self._cfg.pretrained
            }
        config = _configuration(self._cfg.path, changes)
        config.info, config.model = self._cfg.info, self._existing_model()
        return config

    def _training_sections(self, length: recipe.Length) -> dict[str, Any]:
        """Describe optimizer and schedule: the given settings, else the configuration's."""
        tree = self._cfg.tree
        if self._lr_schedule is None:
            written, iters = tree["lr_scheduler"], self._cfg.iters
            schedule = recipe.configured_schedule(written, self.lr, iters, length.steps)
        else:
            schedule = recipe.schedule_section(self.lr, self._lr_schedule, length)
        return {"optimizer": self._optimizer_section(), "lr_scheduler": schedule}

    def _optimizer_section(self) -> dict[str, Any]:
        """Describe the optimizer by its name, or the configuration's with what is given."""
        momentum, weight_decay = self._momentum, self._weight_decay
        optimizer_config = self._optimizer_config or {}
        if self.optimizer != self._configured_optimizer:
            return recipe.optimizer_section(
                self.optimizer,
                0.9 if momentum is None else momentum,
                0.0 if weight_decay is None else weight_decay,
                optimizer_config,
            )
        given = {"momentum": momentum, "weight_decay": weight_decay}
        changed = {key: value for key, value in given.items() if value is not None}
        return self._cfg.tree["optimizer"] | changed | recipe.clipping(optimizer_config)

    def _refuse_other_classes(self) -> None:
        """Refuse the data sets' classes where the model is of others."""
        from panoptic_deeplab.weights import refuse_difference

        refuse_difference("the learner's model", self._cfg.info, CITYSCAPES, _OTHER_CLASSES)

    def _load(self, path: str) -> None:
        from panoptic_deeplab.inference.location import CONFIG_FILE, locate_model
        from panoptic_deeplab.weights import load_network, read_info_beside

        alone = os.path.isfile(path) and not Path(path).with_name(CONFIG_FILE).is_file()
        files = locate_model(path, self._cfg.path if alone or "://" in path else None)
        if files.is_exported:
            raise UsageError(f"{path}: an exported file cannot be trained; use load_model")
        config = _configuration(files.config)
        config.info = read_info_beside(files.weights) or config.info
        load_network(config, files.weights, "make the learner with the configuration of these")
        self._cfg, self.model = config, config.model


def _whole_seed(seed: float | None) -> int:
    """Return a seed without its fraction, 0 for none."""
    if seed is None:
        return 0
    if not isinstance(seed, (int, float)) or not 0 <= seed < 2**32:
        raise UsageError(f"seed: expected a number from 0 to 2 ** 32 - 1 or None, got {seed!r:.50}")
    return int(seed)


def _refuse_other_types(dataset: Any) -> None:
    if not isinstance(dataset, PreparedDataset):
        kind = type(dataset).__name__
        raise TypeError(f"expected a CityscapesDataset or a KittiDataset, got {kind}")


def _configuration(path: str, changes: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration with changes, dotted key -> value."""
    from panoptic_deeplab.config import Config

    return Config(path, [f"{key}={as_json(value)}" for key, value in (changes or {}).items()])
