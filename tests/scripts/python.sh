#!/usr/bin/env python3
#SBATCH --time=1h30m
#SBATCH --mem=1500
print('hello')
