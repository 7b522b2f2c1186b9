"""Limits of models that functions run. Part of `littoral.core.limits`."""

from littoral.core.limit import MIB, Declarations

INFERENCE_LIMITS = Declarations()
_limit = INFERENCE_LIMITS.declare

INFERENCE_THREADS = _limit(
    "inference-threads",
    2,
    "threads",
    "wait",
    "each runs one model at a time; what else a node does needs its cores as well",
)
INFERENCE_QUEUE = _limit(
    "inference-queue", 64, "runs per app", "reject", "that wait for a thread, with their inputs; apps take turns"
)
INFERENCE_RUN_MS = _limit(
    "inference-run-ms", 5000, "milliseconds", "kill", "of one run, loading the model included: others wait meanwhile"
)
INFERENCE_WAIT_MS = _limit(
    "inference-wait-ms", 30_000, "milliseconds", "reject", "how long a function waits for a run and all before it"
)
INFERENCE_FRAME_BYTES = _limit(
    "inference-bytes", 8 * MIB, "bytes", "reject", "of the inputs of a run, and of its outputs: both are held in memory"
)
INFERENCE_MODEL_BYTES = _limit(
    "inference-model-bytes", 64 * MIB, "bytes", "reject", "of one model's file, which is read into memory as a whole"
)
INFERENCE_MODELS_BYTES = _limit(
    "inference-models-bytes",
    256 * MIB,
    "bytes",
    "drop-oldest",
    "of the files of all models that are loaded; the one that was run least recently goes first",
)
INFERENCE_MEMORY_BYTES = _limit(
    "inference-memory-bytes",
    1024 * MIB,
    "bytes",
    "reject",
    "that models and runs may take together: a small model may ask for any amount",
)
INFERENCE_IDLE_S = _limit(
    "inference-idle-seconds", 300, "seconds", "drop-oldest", "without a run; then the process ends, with its memory"
)
