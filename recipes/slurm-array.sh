#!/bin/bash
# Captures a store of activations as a Slurm array; a second job merges and verifies the parts.
#
#     export MODEL=model TEXTS=texts.csv OUT=acts
#     id=$(sbatch --parsable --array=0-15 recipes/slurm-array.sh)
#     JOB=merge sbatch --dependency=afterok:$id recipes/slurm-array.sh
#
# Each task makes its share of the shard files in $OUT.parts/part-I. A task that is requeued or submitted again goes on where
# it was. To submit only some of 16 again, say so: PARTS=16 sbatch --array=3,7 recipes/slurm-array.sh
#
#SBATCH --job-name=capture-store
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=capture-store-%j.log

set -euo pipefail

: "${OUT:?the folder of the store}"
PROGRAM=${PROGRAM:-target/release/examples/capture_store}

if [ "${JOB:-capture}" = merge ]; then
    parts=("$OUT".parts/part-*)
    "$PROGRAM" --merge "$(IFS=,; echo "${parts[*]}")" --out "$OUT"
    exec "$PROGRAM" --verify --out "$OUT"
fi

: "${MODEL:?a GGUF file or a Hugging Face directory}" "${TEXTS:?a .csv, .txt or .jsonl of texts}"
index=${SLURM_ARRAY_TASK_ID:?submit it as an array: sbatch --array=0-15}
PARTS=${PARTS:-${SLURM_ARRAY_TASK_COUNT:?the number of parts}}
# The same for all tasks, and again when one goes on: --sites, --layers, --pool, --dtype, --shard-texts, --devices.
OPTIONS=${OPTIONS:---dtype bf16}
# The last digits depend on the number of threads: the same in all tasks.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}

# shellcheck disable=SC2086 # the options are words
exec "$PROGRAM" --model "$MODEL" --texts "$TEXTS" $OPTIONS --shard "$index/$PARTS" --out "$OUT.parts/part-$index"
