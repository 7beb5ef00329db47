#!/bin/bash
#SBATCH -d afterok:12:13,afterany:20_[1-4]
#SBATCH --begin=2026-12-01T08:00
#SBATCH --hold
true
