#!/bin/bash
#SBATCH --nt=4
true
