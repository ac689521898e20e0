"""`panoptic-deeplab train`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from panoptic_deeplab.cli.command_line import load_config, run_script
from panoptic_deeplab.cli.flags import (
    add_common_arguments,
    add_grouping_arguments,
    add_profile_argument,
)
from panoptic_deeplab.cli.parser import Parser, fraction, not_negative, positive

SUMMARY = "train the model that a configuration describes"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb alone, as train.py does; return the exit code."""
    return run_script(add_arguments, run, argv)


def add_arguments(parser: Parser) -> None:
    """Describe the verb and its flags."""
    parser.describe(
        "Train a panoptic segmentation model.\n\n"
        "On several GPUs:\n\n"
        "  python -m paddle.distributed.launch panoptic-deeplab train --config ...",
        "panoptic-deeplab train --config panoptic_deeplab_lite_scenes "
        "--do_eval --use_vdl --save_dir output",
    )
    add_common_arguments(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--iters", type=int, help="steps of the whole training")
    length.add_argument(
        "--train_seconds",
        type=positive,
        metavar="S",
        help="train for about S seconds of steps: a short trial tells how many fit, and the "
        "learning rate's schedule is brought to that length",
    )
    parser.add_argument("--batch_size", type=int, help="samples in a batch, on each process")
    parser.add_argument("--learning_rate", type=float, help="learning rate at the start")
    parser.add_argument(
        "--save_interval",
        type=positive,
        help="steps between checkpoints (default: 1000; with --train_seconds a tenth of them)",
    )
    parser.add_argument(
        "--init",
        metavar="NAME|PATH",
        help="weights to start from, of the same network and for any classes: a name of the zoo "
        "(`weights list`), a checkpoint folder, a file or an https URL; the log tells what is to "
        "be trained anew",
    )
    parser.add_argument(
        "--resume_model",
        metavar="PATH|auto",
        help="a checkpoint folder to resume from; auto: the newest in --save_dir, if any",
    )
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
        type=not_negative,
        help="processes that read samples ahead, beside each training process (default: on a GPU "
        "one for each core, at most 8; on a CPU 0)",
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
        "--seed",
        type=not_negative,
        default=0,
        help="seed of all random draws (default: %(default)s)",
    )
    parser.add_argument(
        "--accumulate_steps",
        type=positive,
        default=1,
        help="batches whose gradients make one step (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=["fp32", "fp16", "bf16"],
        default="fp32",
        help="precision of the computation; fp16 needs a GPU (default: %(default)s)",
    )
    parser.add_argument(
        "--amp_level",
        choices=["O1", "O2"],
        default="O1",
        help="O1: chosen operators in half precision, O2: nearly all (default: %(default)s)",
    )
    parser.add_argument(
        "--use_ema",
        action="store_true",
        help="keep a moving average of the weights and evaluate it",
    )
    parser.add_argument(
        "--ema_decay",
        type=fraction,
        default=0.999,
        help="decay of that average (default: %(default)s)",
    )
    parser.add_argument(
        "--scale_lr",
        action="store_true",
        help="scale learning rate and iterations (with --train_seconds the rate alone) to this "
        "run's effective batch size",
    )
    parser.add_argument(
        "--allow_partial",
        action="store_true",
        help="load what fits of the weights to start from, also those of another network, and "
        "list what does not",
    )
    add_profile_argument(parser)
    add_grouping_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Train what the configuration describes."""
    changes = {
        "iters": arguments.iters,
        "batch_size": arguments.batch_size,
        "lr_scheduler.learning_rate": arguments.learning_rate,
    }
    overrides = [f"{key}={value}" for key, value in changes.items() if value is not None]
    config = load_config(arguments, *overrides)

    from panoptic_deeplab.engine.loading import default_workers
    from panoptic_deeplab.engine.plan import TrainingPlan
    from panoptic_deeplab.engine.training import train

    num_workers = arguments.num_workers
    plan = TrainingPlan(
        iters=config.iters,
        batch_size=config.batch_size,
        save_dir=arguments.save_dir,
        accumulate_steps=arguments.accumulate_steps,
        save_interval=arguments.save_interval,
        keep_checkpoint_max=arguments.keep_checkpoint_max,
        log_iters=arguments.log_iters,
        num_workers=default_workers() if num_workers is None else num_workers,
        seed=arguments.seed,
        use_vdl=arguments.use_vdl,
        do_eval=arguments.do_eval,
        resume=arguments.resume_model,
        init=arguments.init,
        allow_partial=arguments.allow_partial,
        scale_lr=arguments.scale_lr,
        precision=arguments.precision,
        amp_level=arguments.amp_level,
        ema_decay=arguments.ema_decay if arguments.use_ema else None,
        profile=arguments.profile,
        train_seconds=arguments.train_seconds,
    )
    train(config, plan)
