#!/bin/bash
#SBATCH --mem-per-task=4G
true
