#!/usr/bin/env bash
# A short comparison with PyTorch on one CUDA GPU, the rows that say most first:
#
#     bash benchmarks/cuda.sh DIRECTORY [SECONDS]
#
# Tables and progress go to the terminal, all samples to JSON files in DIRECTORY. After SECONDS,
# by default 240, what runs is ended and the rest left out; what was measured by then is kept.
# PYTHON names the interpreter, by default python3.
#
# Compiling takes most of the time, up to 100 s for one network by PyTorch, but little of a GPU. So
# all programs are compiled first, at once, and kept in DIRECTORY; the first calls of the tables are
# of programs that are at hand.
set -u
if [ $# -lt 1 ] || ! mkdir -p "$1"; then
    echo "usage: bash benchmarks/cuda.sh DIRECTORY [SECONDS]" >&2
    exit 2
fi
directory=$(cd "$1" && pwd) || exit 1
deadline=$((SECONDS + ${2:-240}))
cd "$(dirname "$0")/.." || exit 1
export PYTHONUNBUFFERED=1
export JAX_COMPILATION_CACHE_DIR="$directory/compiled" TORCHINDUCTOR_CACHE_DIR="$directory/inductor"
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.5
failures=0

# Usage: measure SECONDS MODULE ARGUMENT...
measure() {
    local most=$1 left=$((deadline - SECONDS)) status=0
    shift
    if [ "$left" -lt 10 ]; then
        echo "left out, no time: $*" >&2
        return 1
    fi
    [ "$most" -gt "$left" ] && most=$left
    echo "--- $* (at most $most s)" >&2
    timeout --kill-after=5 "$most" "${PYTHON:-python3}" -m "$@" || status=$?
    echo "--- status $status; $((deadline - SECONDS)) s left" >&2
    return "$status"
}

step="benchmarks.train_step --device cuda"
cases=("32px joint" "256px joint" "32px completion" "256px completion")
for case in "${cases[@]}"; do
    read -r size phase <<< "$case"
    # In the order of their time: one that is cut off has compiled the others.
    measure 115 $step --cases "$size" --phases "$phase" --rounds 1 --seconds 0 \
        --contenders pytorch-compiled bfloat16 scanned &> "$directory/compile-$size-$phase.log" &
done
wait
for case in "${cases[@]:0:2}" inpaint "${cases[@]:2}"; do
    read -r size phase <<< "$case"
    if [ "$case" = inpaint ]; then
        measure 60 benchmarks.inpaint --device cuda --preset paper --sizes 1024 --rounds 1 \
            --calls 20 --json "$directory/inpaint.json" || failures=$((failures + 1))
        continue
    fi
    measure 60 $step --cases "$size" --phases "$phase" --rounds 3 --seconds 0.5 \
        --contenders bfloat16 pytorch-compiled scanned pytorch \
        --json "$directory/$phase-$size.json" || failures=$((failures + 1))
done
exit "$((failures > 0))"
