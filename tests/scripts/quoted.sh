#!/bin/bash
#SBATCH --job-name="two words"
#SBATCH --comment='single # no comment'
#SBATCH -o out\ put.log
true
