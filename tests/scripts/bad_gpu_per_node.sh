#!/bin/bash
#SBATCH --gpu-per-node=1
true
