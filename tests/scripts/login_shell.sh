#!/bin/bash -l
#SBATCH -J login
#SBATCH -t 1-00:00
#SBATCH -p batch
module load gcc
