#!/bin/bash
#SBATCH --gres=none
true
