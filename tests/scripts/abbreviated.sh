#!/bin/bash
#SBATCH --out=a.log
#SBATCH --err=b.log
#SBATCH --part=main
#SBATCH --acc=proj
true
