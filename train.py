"""Trains what a configuration describes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from panoptic_deeplab.command_line import (
    add_common_arguments,
    add_grouping_arguments,
    load_config,
    run,
)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(train, parse_arguments(argv))


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description="Train a panoptic segmentation model.",
        epilog="example: python -m paddle.distributed.launch train.py --config configs/"
        "panoptic_deeplab/panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005.yml "
        "--do_eval --use_vdl --save_interval 5000 --save_dir output",
    )
    add_common_arguments(parser)
    parser.add_argument("--iters", type=int, help="steps of the whole training")
    parser.add_argument("--batch_size", type=int, help="samples of a step on each process")
    parser.add_argument("--learning_rate", type=float, help="learning rate at the start")
    parser.add_argument(
        "--save_interval",
        type=positive,
        default=1000,
        help="steps between checkpoints (default: %(default)s)",
    )
    parser.add_argument("--resume_model", help="folder of a checkpoint to go on from")
    parser.add_argument(
        "--save_dir",
        type=Path,
        default=Path("./output"),
        help="where checkpoints and logs go (default: %(default)s)",
    )
    parser.add_argument(
        "--keep_checkpoint_max",
        type=int,
        default=5,
        help="newest checkpoints kept, 0 for all (default: %(default)s)",
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=0,
        help="processes that read samples ahead (default: %(default)s)",
    )
    parser.add_argument(
        "--do_eval", action="store_true", help="evaluate at each checkpoint and keep the best"
    )
    parser.add_argument(
        "--log_iters",
        type=positive,
        default=10,
        help="steps between log lines (default: %(default)s)",
    )
    parser.add_argument("--use_vdl", action="store_true", help="write VisualDL scalars")
    parser.add_argument(
        "--seed", type=int, default=0, help="of weights, order and augmentation (default: 0)"
    )
    add_grouping_arguments(parser)
    return parser.parse_args(argv)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def train(arguments: argparse.Namespace) -> None:
    """Builds what the configuration names and trains it."""
    changes = {
        "iters": arguments.iters,
        "batch_size": arguments.batch_size,
        "lr_scheduler.learning_rate": arguments.learning_rate,
    }
    overrides = [f"{key}={value}" for key, value in changes.items() if value is not None]
    config = load_config(arguments, *overrides)

    import paddle

    from panoptic_deeplab.engine.pretrained import load_pretrained
    from panoptic_deeplab.engine.trainer import Trainer, TrainingPlan, Validation
    from panoptic_deeplab.files import usable_folder

    usable_folder(arguments.save_dir)
    paddle.seed(arguments.seed)
    dataset = config.train_dataset
    validation = None
    if arguments.do_eval:
        validation = Validation(config.val_dataset, config.postprocessor, config.evaluators)
    trainer = Trainer(
        model=config.model,
        criterion=config.criterion,
        preprocess=config.preprocess,
        optimizer=config.optimizer,
        dataset=dataset,
        targets=config.targets,
        info=config.info,
        config_yaml=config.to_yaml(),
        plan=TrainingPlan(
            iters=config.iters,
            batch_size=config.batch_size,
            save_dir=arguments.save_dir,
            save_interval=arguments.save_interval,
            keep_checkpoint_max=arguments.keep_checkpoint_max,
            log_iters=arguments.log_iters,
            num_workers=arguments.num_workers,
            seed=arguments.seed,
            use_vdl=arguments.use_vdl,
        ),
        validation=validation,
    )
    if arguments.resume_model:
        trainer.resume(arguments.resume_model)
    else:
        load_pretrained(config.model, config.pretrained)
    trainer.run()


if __name__ == "__main__":
    sys.exit(main())
