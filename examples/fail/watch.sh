#!/bin/bash
#SBATCH --job-name=watch
#SBATCH --ntasks=1
#SBATCH --time=1:00:00
#SBATCH --mem=64M
#SBATCH --output=logs/%x_%j.out

# Waits for an instrument's file that never comes, until somebody cancels it.
echo "waiting for ${INSTRUMENT_FILE:=instrument.dat}"
until [ -e "$INSTRUMENT_FILE" ]; do
    sleep 1
done
wc -c "$INSTRUMENT_FILE"
