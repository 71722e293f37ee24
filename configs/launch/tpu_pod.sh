#!/usr/bin/env bash
# A run on all hosts of a Cloud TPU slice: `bash configs/launch/tpu_pod.sh` on a machine with gcloud, in the environment
# that shaping is installed in. If it ends early (a spot slice was taken away, the connection broke), start it again: it
# creates the slice if there is none, and continues the run where it stopped. The slice stays until you delete it.
set -euo pipefail
cd "$(dirname "$0")/../.."

# EDIT the slice: name, zone, type and image. Its service account must be allowed to write to OUT.
NAME=shaping ZONE=europe-west4-b TYPE=v5litepod-16 VERSION=v2-alpha-tpuv5-lite

# EDIT the run: a configuration, and a folder that all hosts see: in a bucket, or on a disk that all have mounted.
CONFIG=configs/lola_table.yaml OUT=gs://BUCKET/runs/lola_table

queue() { gcloud compute tpus queued-resources "$1" "$NAME" --zone="$ZONE" "${@:2}"; }
state() { queue describe --format='value(state.state)' 2>/dev/null || echo NONE; }
on_all() { gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="$1"; }

# The remains of a slice that was taken away block a new one.
case $(state) in SUSPENDED | FAILED) queue delete --force --quiet ;; esac
if [[ $(state) == NONE ]]; then
    queue create --node-id="$NAME" --accelerator-type="$TYPE" --runtime-version="$VERSION" --spot
fi
until [[ $(state) == ACTIVE ]]; do
    echo "$(date +%T) $NAME: $(state)"
    sleep 30
done

# A run left behind by a broken connection saves and exits before anything else starts.
on_all 'pkill -TERM -x shaping; while pgrep -x shaping >/dev/null; do sleep 1; done'

# The Python of the image may be older than 3.11; uv installs a newer one.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m pip wheel --quiet --no-deps --wheel-dir "$work" .
cp "$CONFIG" "$work/run.yaml"
gcloud compute tpus tpu-vm scp "$work"/* "$NAME": --zone="$ZONE" --worker=all
on_all 'python3 -m pip install --quiet --user uv && python3 -m uv venv --quiet --allow-existing --python 3.12 venv &&
    python3 -m uv pip install --quiet --python venv "$(ls -t ./shaping-*.whl | head -1)[tpu]" gcsfs'

# JAX finds the other hosts by itself. All hosts check whether the run exists before any of them creates it, as it is
# created only after all have joined.
on_all "
if venv/bin/python -c 'import sys; from etils import epath
sys.exit(not epath.Path(sys.argv[1]).exists())' $OUT/config.yaml; then
    venv/bin/shaping resume $OUT --distributed
else
    venv/bin/shaping run run.yaml --out $OUT --distributed
fi"
