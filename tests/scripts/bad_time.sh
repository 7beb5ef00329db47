#!/bin/bash
#SBATCH --time=1 hour
true
