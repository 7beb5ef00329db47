#!/bin/bash
#SBATCH --no-requeue
#SBATCH --nice=50
#SBATCH -k
true
