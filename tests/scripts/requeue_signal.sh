#!/bin/bash
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
#SBATCH --open-mode=append
true
