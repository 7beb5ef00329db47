#!/bin/bash
#SBATCH -N 1 -n 4 --time=10:00 -J many
true
