"""Masks in Keras models: conversion, weight names, constraints, training state, tickets, tfmot."""
