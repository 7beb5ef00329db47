#!/bin/bash
#SBATCH -G 1
nvidia-smi
