#!/usr/bin/env bash
# The main job: every method on every dataset of a configuration, to tables in reports/. Arguments go to Snakemake.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec snakemake --cores all --rerun-incomplete --keep-going --show-failed-logs --quiet rules "$@"
