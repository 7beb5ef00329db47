#!/bin/bash
#SBATCH --chdir=work
#SBATCH --export=NONE
true
