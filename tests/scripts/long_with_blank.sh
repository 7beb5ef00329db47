#!/bin/bash
#SBATCH --ntasks 2
#SBATCH --time 30
#SBATCH --job-name blank
true
