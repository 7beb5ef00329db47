#!/bin/bash
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH -N1
true
