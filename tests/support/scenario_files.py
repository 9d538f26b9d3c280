"""Scenario files that train in milliseconds."""

TINY = """
name: tiny
description: for tests
campaigns: 2
intervals: 5
intervals_per_day: 3
opportunities_per_interval: 24
listeners: {count: 32}
"""
