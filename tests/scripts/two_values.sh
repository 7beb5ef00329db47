#!/bin/bash
#SBATCH --time=10
#SBATCH --time=20
true
