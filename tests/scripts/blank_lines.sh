#!/bin/bash


#SBATCH -n 1

# words

#SBATCH -c 2

true
