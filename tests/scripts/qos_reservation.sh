#!/bin/bash
#SBATCH --qos=short
#SBATCH --reservation=course
#SBATCH -q long
true
