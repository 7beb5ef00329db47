#!/bin/bash
#SBATCH -n 1
#SBATCH -c 8
#SBATCH --threads-per-core=1
#SBATCH --hint=nomultithread
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
./a.out
