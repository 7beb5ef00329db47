#!/bin/bash
#SBATCH -N 1
#SBATCH -w n[01-03]
#SBATCH -x n02
true
