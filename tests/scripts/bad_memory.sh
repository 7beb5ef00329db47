#!/bin/bash
#SBATCH --memory=4G
true
