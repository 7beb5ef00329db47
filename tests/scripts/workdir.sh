#!/bin/bash
#SBATCH --workdir=/scratch/ada
#SBATCH --export=ALL,OMP_NUM_THREADS=4
true
