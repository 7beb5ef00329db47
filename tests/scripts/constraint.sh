#!/bin/bash
#SBATCH -C 'haswell|skylake'
#SBATCH --licenses=matlab
true
