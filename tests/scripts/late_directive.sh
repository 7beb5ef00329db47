#!/bin/bash
#SBATCH -n 1
module purge
#SBATCH --mem=4G

#SBATCH --time=5
true
