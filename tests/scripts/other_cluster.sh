#!/bin/bash
#SBATCH -M elsewhere
true
