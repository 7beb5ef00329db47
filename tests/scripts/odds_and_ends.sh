#!/bin/bash
#SBATCH --distribution=block:block
#SBATCH --cpu-freq=2000000
#SBATCH --acctg-freq=30
#SBATCH --profile=task
#SBATCH --gres-flags=enforce-binding
#SBATCH --ntasks-per-core=1
true
